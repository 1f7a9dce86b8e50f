"""Test the pages of releases, and the suspect commits of a group."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from core.clients.models import ClientApp
from core.releases.models import Deploy, Release
from core.releases.services import NewCommit, ensure_release, record_deploy, set_commits
from errors.models import ErrorGroup
from errors.queries.releases import suspect_commits
from errors.services import record_events, release_counts
from tests.errors.stored import PAYLOAD, new_error
from tests.factories import make_app

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def release(shop: ClientApp) -> Release:
    """Create a release with an event, a deploy and commits."""
    record_events([new_error(shop, release="shop@1.2", user_key="ann", environment="production")])
    release_counts.roll_up(now=NOON + timedelta(minutes=1))
    release = Release.objects.get()
    record_deploy(
        app=shop,
        version="shop@1.2",
        environment="production",
        source=Deploy.Source.API,
        now=NOON,
        url="javascript:alert(1)",
        name="blue",
    )
    set_commits(
        release,
        [
            NewCommit(sha="1" * 40, message="docs: say more", paths=["README.md"]),
            NewCommit(
                sha="2" * 40,
                message="checkout: retry <b>",
                author="Ann Lee",
                committed_at=NOON,
                paths=["web/shop/checkout.py"],
            ),
            NewCommit(sha="3" * 40, message="other checkout", paths=["blog/checkout.py"]),
        ],
    )
    return release


def test_groups_of_a_release_are_listed_with_the_code_that_raised_them(
    browse: Client, release: Release
) -> None:
    ErrorGroup.objects.update(culprit="shop.pay in charge")

    html = browse.get(reverse("errors:release-detail", args=[release.pk])).content.decode()

    # The group is listed twice: as a new group and as one of the most frequent groups.
    assert html.count("shop.pay in charge") == 2


def test_the_list_shows_figures(browse: Client, release: Release) -> None:
    html = browse.get(reverse("errors:release-list")).content.decode()

    assert "shop@1.2" in html
    assert ">production</span>" in html


def test_the_list_is_filtered(browse: Client, release: Release) -> None:
    blog = make_app("blog")
    ensure_release(app=blog, version="blog-7", now=NOON)
    url = reverse("errors:release-list")

    assert "blog-7" not in browse.get(url, {"app": "shop"}).content.decode()
    assert "shop@1.2" not in browse.get(url, {"q": "BLOG"}).content.decode()
    assert "No matching releases" in browse.get(url, {"q": "none"}).content.decode()


def test_the_list_is_paged(browse: Client, shop: ClientApp) -> None:
    for number in range(60):
        ensure_release(app=shop, version=f"1.{number}", now=NOON + timedelta(minutes=number))

    first = browse.get(reverse("errors:release-list"))
    second = browse.get(first.context["next_url"])

    versions = [row.release.version for page in (first, second) for row in page.context["rows"]]
    assert versions == [f"1.{number}" for number in reversed(range(60))]


def test_the_number_of_queries_does_not_grow_with_the_list(
    browse: Client, shop: ClientApp, django_assert_max_num_queries: Callable[..., object]
) -> None:
    for number in range(40):
        ensure_release(app=shop, version=f"1.{number}", now=NOON)

    with django_assert_max_num_queries(14):  # type: ignore[attr-defined]
        browse.get(reverse("errors:release-list"))


def test_an_empty_list_says_what_to_do(browse: Client) -> None:
    assert "sentry-cli releases new" in browse.get(reverse("errors:release-list")).content.decode()


def test_a_release_shows_groups_commits_and_deploys(browse: Client, release: Release) -> None:
    html = browse.get(reverse("errors:release-detail", args=[release.pk])).content.decode()

    group = ErrorGroup.objects.get()
    assert html.count(reverse("errors:group-detail", args=[group.pk])) == 2
    assert "checkout: retry &lt;b&gt;" in html
    assert "blue" in html
    assert "javascript:" not in html


def test_releases_need_the_permission(
    staff_client: Callable[..., Client], release: Release
) -> None:
    client = staff_client("view_errorgroup")

    assert client.get(reverse("errors:release-list")).status_code == 403
    assert client.get(reverse("errors:release-detail", args=[release.pk])).status_code == 403


def test_a_commit_that_changed_a_file_of_the_stack_is_suspect(
    browse: Client, release: Release
) -> None:
    group = ErrorGroup.objects.get()

    [suspect] = suspect_commits(group, PAYLOAD)

    assert (suspect.commit.sha, suspect.path) == ("2" * 40, "web/shop/checkout.py")
    assert suspect.function == "confirm"
    html = browse.get(reverse("errors:group-detail", args=[group.pk])).content.decode()
    assert "Suspect commit" in html
    assert "Ann Lee" in html


def test_commits_of_other_releases_are_not_suspect(shop: ClientApp, release: Release) -> None:
    ErrorGroup.objects.update(first_release="shop@1.1")

    assert suspect_commits(ErrorGroup.objects.get(), PAYLOAD) == []
