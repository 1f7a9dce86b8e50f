"""Test that `/api/v1/config/<kind>/` creates, reads, changes and deletes every kind of object in the same way."""

import base64
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from core.accounts.models import AuditEvent
from core.clients import services
from core.clients.models import Scope
from core.config.extension_points import registry
from core.config.values import forms_of, formsets_of, members_of, resources_in_order
from core.lib import ratelimit
from health.models import StatusPage
from tests.config.objects import EXISTING, KEPT, LOGO, OBJECTS, make_prerequisites
from tests.factories import make_app

pytestmark = pytest.mark.django_db
KINDS = [resource.kind for resource in resources_in_order()]
BASE = "/api/v1/config"


@pytest.fixture
def api() -> Client:
    make_prerequisites()
    scopes = [Scope.CONFIG_READ, Scope.CONFIG_WRITE, Scope.INCIDENTS_READ, Scope.INCIDENTS_WRITE]
    _, secret = services.issue_api_key(app=make_app("scripts"), scopes=[str(one) for one in scopes])
    ratelimit.memory.clear()
    return Client(headers={"Authorization": f"Bearer {secret}"})


def create(api: Client, kind: str, **more: Any) -> dict[str, Any]:
    answer = api.post(f"{BASE}/{kind}/", {**OBJECTS[kind][0], **more}, "application/json")
    assert answer.status_code == 201, answer.content
    return answer.json()  # type: ignore[no-any-return]


def create_up_to(api: Client, kind: str) -> dict[str, Any]:
    """Create the missing objects of every kind up to `kind`, and return the object of `kind`."""
    for one in KINDS[: KINDS.index(kind)]:
        if one not in EXISTING:
            create(api, one)
    if kind not in EXISTING:
        return create(api, kind)
    key = registry.get(kind).key
    answer = api.get(f"{BASE}/{kind}/", {key: OBJECTS[kind][0][key]}).json()
    return answer[kind.replace("-", "_")][0]  # type: ignore[no-any-return]


def is_part(given: Any, whole: Any) -> bool:
    if isinstance(given, dict):
        return all(is_part(value, whole[name]) for name, value in given.items())
    return whole in (given, "[hidden]")


def test_every_kind_has_an_example() -> None:
    assert set(OBJECTS) == set(registry.names())


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_is_created_read_changed_and_deleted(api: Client, kind: str) -> None:
    members, change, _ = OBJECTS[kind]
    created = create_up_to(api, kind)
    url = f"{BASE}/{kind}/{created['id']}/"
    assert is_part(members, created)
    assert api.get(url).json() == created
    found = api.get(f"{BASE}/{kind}/").json()[kind.replace("-", "_")]
    assert created in found

    changed = api.patch(url, change, "application/json")

    assert changed.status_code == 200, changed.content
    expected = {**created, **{name: changed.json()[name] for name in change}}
    state = ("state", "resolved_at", "expected_at")
    assert {k: v for k, v in changed.json().items() if k not in state} == {
        k: v for k, v in expected.items() if k not in state
    }
    assert is_part(change, changed.json())
    if kind in KEPT:
        refused = api.delete(url)
        assert refused.status_code == 409
        assert "it is part of the portal" in refused.json()["detail"]
        return
    assert api.delete(url).status_code == 204
    assert api.get(url).status_code == 404
    assert api.delete(url).status_code == 404


@pytest.mark.parametrize("kind", KINDS)
def test_members_that_the_form_refuses_are_refused_and_change_nothing(
    api: Client, kind: str
) -> None:
    created = create_up_to(api, kind)
    url = f"{BASE}/{kind}/{created['id']}/"
    bad, member = OBJECTS[kind][2]

    refused = api.patch(url, bad, "application/json")
    again = api.post(f"{BASE}/{kind}/", {**OBJECTS[kind][0], **bad}, "application/json")

    assert (refused.status_code, list(refused.json()["errors"])) == (422, [member])
    assert again.status_code in (409, 422)
    assert api.get(url).json() == created


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_object_with_the_same_key_is_a_conflict(api: Client, kind: str) -> None:
    create_up_to(api, kind)

    again = api.post(f"{BASE}/{kind}/", OBJECTS[kind][0], "application/json")

    assert again.status_code == 409


@pytest.mark.parametrize("kind", KINDS)
def test_each_change_is_in_the_audit_log_without_values(api: Client, kind: str) -> None:
    created = create_up_to(api, kind)
    earlier = AuditEvent.objects.count()
    url = f"{BASE}/{kind}/{created['id']}/"

    api.patch(url, OBJECTS[kind][1], "application/json")
    # The repeated request changes nothing, so the audit log must contain only the first one.
    api.patch(url, OBJECTS[kind][1], "application/json")
    api.delete(url)

    events = list(AuditEvent.objects.order_by("pk"))[earlier:]
    name = registry.get(kind).model._meta.label_lower
    actions = ["changed"] if kind in KEPT else ["changed", "deleted"]
    assert [event.action for event in events] == [f"{name} {action}" for action in actions]
    assert all("of scripts" in event.detail for event in events)
    assert events[0].detail.startswith("Changed ")
    assert "Lee" not in str([vars(event) for event in events])


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_the_admin_form_is_a_member_or_left_out_on_purpose(kind: str) -> None:
    resource = registry.get(kind)
    fields = {name for form in forms_of(resource) for name in form.base_fields}
    members = set(members_of(resource).names)

    missing = {name for name in fields if resource.member_of(name).partition(".")[0] not in members}
    inlines = {formset.get_default_prefix() for formset in formsets_of(resource)}
    assert set(resource.inlines) <= inlines
    assert missing | (inlines - set(resource.inlines)) == set(resource.left_out)


def test_objects_that_the_portal_defines_cannot_be_created(api: Client) -> None:
    for kind, members, problem in (
        ("checks", {"name": "own"}, "no check with this name"),
        ("status-pages", {"reference": "second"}, "one status page, with the reference main"),
    ):
        answer = api.post(f"{BASE}/{kind}/", members, "application/json")

        assert answer.status_code == 422
        assert problem in answer.json()["detail"]


def test_the_logo_of_the_status_page_is_a_data_url_and_the_domain_is_shown(
    api: Client, settings: Settings
) -> None:
    settings.STATUS_PAGE_DOMAIN = "status.shop.example"
    created = create(api, "status-pages")
    assert created["domain"] == "status.shop.example"
    assert created["url"] == "http://status.shop.example/status/"
    url = f"{BASE}/status-pages/{created['id']}/"
    large = f"data:image/png;base64,{base64.b64encode(b'GIF8' + bytes(190_000)).decode()}"

    changed = api.patch(url, {"logo": large}, "application/json")

    assert changed.status_code == 200, changed.content
    # The portal must use the type of the content (GIF) instead of the declared type (PNG).
    assert changed.json()["logo"] == large.replace("image/png", "image/gif")
    assert StatusPage.objects.get().logo_type == "image/gif"
    kept = api.patch(url, {"name": "Other"}, "application/json").json()
    assert kept["logo"] == changed.json()["logo"]
    for bad in ("data:image/png;base64,!", "data:text/html;base64,PGI+", LOGO[:-20] + "é", "x" * 9):
        assert api.patch(url, {"logo": bad}, "application/json").status_code == 422, bad
    text = f"data:image/png;base64,{base64.b64encode(b'text').decode()}"
    assert api.patch(url, {"logo": text}, "application/json").json()["errors"].keys() == {"logo"}
    assert StatusPage.objects.get().logo_type == "image/gif"
