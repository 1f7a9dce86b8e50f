"""Test bulk actions on all matching errors and their undo, and completion and unknown keys in the search line."""

import itertools
import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from core.clients.models import ClientApp
from errors.models import ErrorGroup, GroupNote, GroupTag
from errors.services import triage
from errors.store.aggregates import MAX_TAG_VALUES, OTHERS
from tests.errors.stored import NOON, PAYLOAD, group_of, make_error
from tests.factories import make_app

pytestmark = pytest.mark.django_db


def act(client: Client, action: str, **sent: object) -> dict[str, str]:
    answer = client.post(
        "/admin/errors/bulk/", {"action": action, **sent}, headers={"HX-Request": "true"}
    )
    assert answer.status_code == 204
    events = json.loads(answer["HX-Trigger"])
    assert "errors-changed" in events
    message: dict[str, str] = events["portal:message"]
    return message


def statuses() -> list[str]:
    return list(ErrorGroup.objects.order_by("pk").values_list("status", flat=True))


def titles(client: Client, query: str) -> list[str]:
    response = client.get("/admin/errors/", {"q": query})
    assert response.status_code == 200
    return [row["group"].title for row in response.context["rows"]]


def complete(client: Client, typed: str) -> list[str]:
    answer = client.get("/admin/errors/complete/", {"q": typed}).json()
    return [one["text"] for one in answer["suggestions"]]


def test_all_matching_groups_are_changed_not_only_those_on_the_page(
    browse: Client, shop: ClientApp
) -> None:
    for first, second in itertools.product("abcd", "abcdefghijklm"):
        make_error(shop, group=first + second)
    make_error(make_app("gate"))
    page = browse.get("/admin/errors/?app=shop")
    assert page.context["match_count"] == 52
    assert "Select all 52 matching rows" in page.content.decode()
    make_error(shop, group="later")

    newest = str(page.context["newest"])
    message = act(browse, "resolve", scope="matching", query="app=shop", newest=newest)

    assert message["text"] == "52 errors resolved."
    assert statuses().count("resolved") == 52


def test_an_invalid_search_matches_nothing(browse: Client, shop: ClientApp) -> None:
    make_error(shop)
    message = act(browse, "resolve", scope="matching", query="q=nosuchkey:1")
    assert message["tone"] == "warning"
    assert statuses() == ["open"]


@pytest.mark.parametrize("action", ["resolve", "mute", "assign"])
def test_an_action_can_be_undone(browse: Client, shop: ClientApp, action: str) -> None:
    groups = [group_of(make_error(shop, group=name)) for name in "ab"]
    fields = ("status", "assigned_to", "resolved_at", "muted_until_events")
    before = list(ErrorGroup.objects.order_by("pk").values_list(*fields))

    message = act(browse, action, group=[group.pk for group in groups], events="5")
    assert list(ErrorGroup.objects.order_by("pk").values_list(*fields)) != before
    browse.post(message["undo"])

    assert list(ErrorGroup.objects.order_by("pk").values_list(*fields)) == before
    assert GroupNote.objects.filter(kind="undone").count() == 2


def test_a_merge_can_be_undone(browse: Client, shop: ClientApp) -> None:
    groups = [group_of(make_error(shop, group=name)) for name in "ab"]
    message = act(browse, "merge", group=[group.pk for group in groups])
    assert ErrorGroup.objects.visible().count() == 1

    browse.post(message["undo"])

    assert ErrorGroup.objects.visible().count() == 2


def test_undo_skips_a_group_that_was_changed_again(browse: Client, shop: ClientApp) -> None:
    first, second = (group_of(make_error(shop, group=name)) for name in "ab")
    message = act(browse, "resolve", group=[first.pk, second.pk])
    act(browse, "mute", group=first.pk)

    browse.post(message["undo"])

    assert statuses() == ["muted", "open"]


def test_only_the_person_who_acted_can_undo(browse: Client, shop: ClientApp) -> None:
    group = group_of(make_error(shop))
    act(browse, "resolve", group=group.pk)
    batch = GroupNote.objects.get(kind="resolved").batch
    assert batch is not None

    other = User.objects.create_user("other")
    assert triage.undo(batch, user=other, now=timezone.now()) == 0
    assert statuses() == ["resolved"]

    browse.post(f"/admin/errors/undo/{batch}/")
    assert statuses() == ["open"]


def test_without_scripts_the_next_page_has_an_undo_button(browse: Client, shop: ClientApp) -> None:
    group = group_of(make_error(shop))

    page = browse.post(f"/admin/errors/{group.pk}/act/", {"action": "resolve"}, follow=True)

    batch = GroupNote.objects.get(kind="resolved").batch
    assert f'action="/admin/errors/undo/{batch}/"' in page.content.decode()
    page = browse.post(f"/admin/errors/undo/{batch}/", follow=True)
    assert "Undone: 1 error." in page.content.decode()
    page = browse.post(f"/admin/errors/undo/{batch}/", follow=True)
    assert "Nothing was undone" in page.content.decode()


# --- the search line ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query", ["order_id:o-1", "orderId:o-1", "payment_intent_id:pi_1", "organization_id:acme"]
)
def test_references_are_found_by_the_names_that_apps_use(
    browse: Client, shop: ClientApp, query: str
) -> None:
    make_error(shop, title="other")
    make_error(shop, title="found", order_ref="o-1", payment_ref="pi_1", organization="acme")

    assert titles(browse, query) == ["found"]


def test_a_tag_value_beyond_the_counted_values_is_found(browse: Client, shop: ClientApp) -> None:
    for number in range(MAX_TAG_VALUES + 2):
        tags = {"cart": f"c-{number}"}
        make_error(
            shop,
            group="same",
            title="many carts",
            tags=tuple(tags.items()),
            payload={**PAYLOAD, "tags": tags},
        )
    make_error(shop, title="other", tags=(("cart", "c-1"),))
    assert GroupTag.objects.filter(key="cart", value=OTHERS).exists()

    assert titles(browse, f"cart:c-{MAX_TAG_VALUES + 1}") == ["many carts"]
    assert titles(browse, "cart:c-9999") == []


def test_tags_in_mixed_case_are_found(browse: Client, shop: ClientApp) -> None:
    make_error(shop, title="found", tags=(("cartId", "c-1"),))
    assert titles(browse, "cartId:c-1") == titles(browse, "cartid:c-1") == ["found"]


def test_an_unknown_key_is_reported_with_the_most_similar_one(
    browse: Client, shop: ClientApp
) -> None:
    make_error(shop, title="hidden", tags=(("browser", "Firefox"),))

    def problem(query: str) -> str:
        response = browse.get("/admin/errors/", {"q": query})
        assert response.context["rows"] == []
        return str(response.context["problem"])

    assert "did you mean release:1.4" in problem("releases:1.4")
    assert "did you mean browser:x" in problem("browsers:x")
    assert 'to find the text, write "status:404"' in problem("status:404")


def test_a_url_is_searched_as_text(browse: Client, shop: ClientApp) -> None:
    make_error(shop, title="GET https://shop.example/pay failed")
    assert titles(browse, "https://shop.example/pay") == ["GET https://shop.example/pay failed"]


def test_keys_and_values_are_completed(browse: Client, shop: ClientApp) -> None:
    for number, release in enumerate(("1.4", "1.5 beta", "2.0")):
        at = NOON + timedelta(minutes=number)
        make_error(shop, release=release, tags=(("region", "eu"),), received_at=at)

    assert complete(browse, "re") == ["release:", "reservation:", "request:", "region:"]
    assert complete(browse, "boom release:1") == ["release:1.4 ", 'release:"1.5 beta" ']
    assert complete(browse, "region:") == ["region:eu "]
    assert complete(browse, "app:sh") == ["app:shop "]
    assert complete(browse, "is:re") == ["is:regressed ", "is:resolved "]
    assert complete(browse, "assigned:m") == ["assigned:me "]
    assert complete(browse, "type:Pay") == ["type:PaymentDeclined "]


def test_a_tag_on_the_event_page_links_to_a_search(browse: Client, shop: ClientApp) -> None:
    event = make_error(shop, title="found", tags=(("browser", "Firefox 133"),))

    page = browse.get(f"/admin/errors/{event.group_id}/events/{event.pk}/").content.decode()

    assert "?q=browser%3A%22Firefox+133%22&amp;state=all" in page
    assert titles(browse, 'browser:"Firefox 133"') == ["found"]
