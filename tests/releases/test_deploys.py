"""Test that deploys are recorded by the API or a release's first event, and can be listed by time range."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from core.clients import services as clients
from core.clients.models import ClientApp, Scope
from core.releases.models import Deploy, Release
from core.releases.queries import deploys_between
from core.releases.services import record_deploy, record_first_event
from tests.factories import make_app

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def post(app: ClientApp, **body: Any) -> Any:
    _, secret = clients.issue_api_key(app=app, scopes=[Scope.RELEASES])
    return Client().post(
        reverse("releases:deploy-record"),
        body,
        "application/json",
        headers={"Authorization": f"Bearer {secret}"},
    )


def deploy(app: ClientApp, version: str = "1.0", **given: Any) -> Deploy:
    given = {"environment": "production", "source": Deploy.Source.API, "now": NOON, **given}
    return record_deploy(app=app, version=version, **given)[0]


def test_a_reported_deploy_creates_its_release() -> None:
    app = make_app("shop")

    answer = post(
        app, release="shop@1.2.0", environment="staging", name="blue", url="https://ci.example/7"
    )

    assert answer.status_code == 201
    [stored] = Deploy.objects.select_related("release")
    assert (stored.release.app, stored.release.version) == (app, "shop@1.2.0")
    assert (stored.environment, stored.name, stored.url) == (
        "staging",
        "blue",
        "https://ci.example/7",
    )
    assert answer.json() == {
        "id": stored.pk,
        "release": "shop@1.2.0",
        "environment": "staging",
        "finished_at": stored.finished_at.isoformat().replace("+00:00", "Z"),
    }


def test_a_deploy_sent_twice_is_recorded_once() -> None:
    app = make_app()

    first = post(app, release="1.0", finished_at="2026-11-20T12:00:00Z")
    again = post(app, release="1.0", finished_at="2026-11-20T13:00:00+01:00")

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert Deploy.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "member"),
    [
        ({}, "release"),
        ({"release": ""}, "release"),
        ({"release": "a\nb"}, "release"),
        ({"release": "x" * 201}, "release"),
        ({"release": "1.0", "environment": ""}, "environment"),
        ({"release": "1.0", "finished_at": "2999-01-01T00:00:00Z"}, "finished_at"),
        ({"release": "1.0", "started_at": "2026-11-20T13:00:00", "finished_at": "2026-11-20T12:00:00"}, "started_at"),
        ({"release": "1.0", "revision": "abc"}, "revision"),
    ],
)  # fmt: skip
def test_an_invalid_deploy_is_rejected_with_the_member_to_change(
    body: dict[str, Any], member: str
) -> None:
    answer = post(make_app(), **body)

    assert answer.status_code == 422
    assert member in answer.json()["detail"]
    assert not Release.objects.exists()


def test_personal_data_in_a_deploy_is_removed() -> None:
    post(make_app(), release="1.0", name="by ann@example.org")

    assert Deploy.objects.get().name == "by [Filtered]"


def test_deploys_are_listed_newest_first_within_the_time_range() -> None:
    shop, blog = make_app("shop"), make_app("blog")
    deploy(shop, "1.0", finished_at=NOON - 2 * HOUR)
    deploy(shop, "1.1", finished_at=NOON - HOUR)
    deploy(blog, "7", finished_at=NOON)
    deploy(shop, "1.2", finished_at=NOON + HOUR)

    found = deploys_between(NOON - HOUR, NOON)

    assert [one.release.version for one in found] == ["7", "1.1"]
    assert [one.release.version for one in deploys_between(NOON - HOUR, NOON, app=shop)] == ["1.1"]
    assert [one.release.version for one in deploys_between(NOON - 2 * HOUR, NOON, limit=1)] == ["7"]


def test_the_first_event_of_a_release_in_an_environment_is_a_deploy() -> None:
    app = make_app()

    assert record_first_event(app=app, version="1.0", environment="production", at=NOON)
    assert not record_first_event(app=app, version="1.0", environment="production", at=NOON + HOUR)
    assert record_first_event(app=app, version="1.0", environment="staging", at=NOON + HOUR)

    found = deploys_between(NOON, NOON + HOUR)
    assert [(one.environment, one.finished_at, one.is_derived) for one in found] == [
        ("staging", NOON + HOUR, True),
        ("production", NOON, True),
    ]


def test_a_reported_deploy_replaces_the_derived_one() -> None:
    app = make_app()
    record_first_event(app=app, version="1.0", environment="production", at=NOON)

    deploy(app, finished_at=NOON + timedelta(minutes=2))

    [one] = deploys_between(NOON - HOUR, NOON + HOUR)
    assert (one.finished_at, one.is_derived) == (NOON + timedelta(minutes=2), False)
    assert not record_first_event(app=app, version="1.0", environment="production", at=NOON)


def test_a_reported_deploy_at_the_time_of_the_first_event_replaces_the_derived_one() -> None:
    app = make_app()
    record_first_event(app=app, version="1.0", environment="production", at=NOON)

    deploy(app, finished_at=NOON, name="blue")

    [one] = deploys_between(NOON, NOON)
    assert (one.name, one.source) == ("blue", Deploy.Source.API)


def test_a_later_deploy_of_the_same_release_is_a_second_deploy() -> None:
    app = make_app()
    record_first_event(app=app, version="1.0", environment="production", at=NOON)

    deploy(app, finished_at=NOON + 72 * HOUR)

    assert [one.is_derived for one in deploys_between(NOON, NOON + 72 * HOUR)] == [False, True]
