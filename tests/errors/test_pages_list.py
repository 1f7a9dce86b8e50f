"""Test /admin/errors/: the list of groups, its filters and bulk actions."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from core.clients.models import ClientApp
from errors.models import ErrorGroup, GroupNote, GroupText
from errors.services.merging import merge_groups
from tests.errors.stored import NOON, group_of, make_error
from tests.factories import make_app

pytestmark = pytest.mark.django_db


def titles(client: Client, query: str = "") -> list[str]:
    response = client.get(f"/admin/errors/{query}")
    assert response.status_code == 200
    return [row["group"].title for row in response.context["rows"]]


def test_open_groups_of_all_apps_are_listed_newest_first(browse: Client, shop: ClientApp) -> None:
    make_error(shop, title="older")
    make_error(make_app("gate"), title="newer", received_at=NOON + timedelta(minutes=1))

    assert titles(browse) == ["newer", "older"]


def test_a_stored_error_is_on_the_page_immediately(browse: Client, shop: ClientApp) -> None:
    make_error(shop, title="SoldOut: no seat left")

    page = browse.get("/admin/errors/").content.decode()

    assert "SoldOut: no seat left" in page
    assert "Shop" in page


def test_an_empty_list_explains_the_next_step(browse: Client) -> None:
    page = browse.get("/admin/errors/").content.decode()

    assert "No open errors" in page
    assert "Show apps" in page


@pytest.mark.parametrize("sort", ["events", "users"])
def test_groups_are_sorted_by_count(browse: Client, shop: ClientApp, sort: str) -> None:
    for user in ("a", "b"):
        make_error(shop, group="many", title="many", user_key=user)
    make_error(shop, title="one", user_key="a", received_at=NOON + timedelta(minutes=1))

    assert titles(browse, f"?sort={sort}") == ["many", "one"]


@pytest.mark.parametrize(
    "query",
    [
        "?q=declined",
        "?q=confirm",
        "?q=app:shop",
        "?app=shop",
        "?severity=critical",
        "?q=severity:fatal",
        "?q=level:fatal",
        "?q=level:critical",
        "?q=env:production",
        "?env=production",
        "?q=release:1.2",
        "?q=function:pay",
        "?q=category:billing",
        "?q=user:u-1",
        "?q=request:req-12345",
        "?q=order:o-1",
        "?q=payment:pi_1",
        "?q=reservation:r-1",
        "?q=browser:%22Firefox+133%22",
        "?q=-app:gate",
        "?q=is:unassigned declined app:shop",
        '?q="was declined"',
        "?q=DECLINED",
        "?q=o-1&state=all",
        "?q=pi_1",
        "?q=req-12345",
        "?q=type:PaymentDeclined",
    ],
)
def test_each_filter_finds_the_group_and_not_the_other(
    browse: Client, shop: ClientApp, query: str
) -> None:
    make_error(make_app("gate"), title="other", culprit="", type="", severity="info")
    make_error(
        shop,
        severity="critical",
        environment="production",
        release="1.2",
        function="pay",
        category="billing",
        user_key="u-1",
        request_id="req-12345",
        order_ref="o-1",
        payment_ref="pi_1",
        reservation_ref="r-1",
        tags=(("browser", "Firefox 133"),),
    )

    assert titles(browse, query) == ["PaymentDeclined: card was declined"]


@pytest.mark.parametrize(
    "query",
    ["gate", "seventeen", "billing.charge", "env:production", "release:1.2", "function:charge", "category:money", "user:u-1",
     "request:req-12345", "type:Refused", "browser:Firefox", "order:o-1", "req-12345"],
)  # fmt: skip
def test_a_merged_group_is_found_as_the_kept_group(
    browse: Client, shop: ClientApp, query: str
) -> None:
    """Test that each filter or word that matched a merged group finds the group into which it was merged."""
    make_error(make_app("gate"), title="other", culprit="", type="")
    kept = make_error(shop, title="kept", culprit="", type="")
    merged = make_error(
        shop,
        title="at gate seventeen",
        culprit="billing.charge",
        type="Refused",
        environment="production",
        release="1.2",
        function="charge",
        category="money",
        user_key="u-1",
        request_id="req-12345",
        order_ref="o-1",
        tags=(("browser", "Firefox"),),
        received_at=NOON + timedelta(minutes=1),
    )
    assert titles(browse, f"?q={query}") == ["at gate seventeen"]

    merge_groups([group_of(kept), group_of(merged)], user=None, now=NOON)

    assert titles(browse, f"?q={query}") == ["kept"]
    assert titles(browse, f"?q=-{query}") == ["other"]


def test_words_match_the_texts_of_later_events_of_a_group(browse: Client, shop: ClientApp) -> None:
    make_error(shop, title="other", culprit="", type="")
    for title in ("no answer from Berlin", "no answer from Zürich", "no answer from Wien"):
        make_error(shop, group="same", title=title)

    assert titles(browse, "?q=zürich") == ["no answer from Berlin"]
    assert titles(browse, "?q=ZÜRICH+answer") == ["no answer from Berlin"]
    assert titles(browse, "?q=100%25") == []


def test_the_searchable_text_of_a_group_is_limited(shop: ClientApp) -> None:
    for number in range(80):
        make_error(shop, group="same", title=f"order {number} {'x' * 250}")

    assert len(GroupText.objects.get().text) <= GroupText.MAX_LENGTH


def test_an_event_id_finds_its_group(browse: Client, shop: ClientApp) -> None:
    make_error(shop, title="other")
    event = make_error(shop, title="wanted")

    assert titles(browse, f"?q={event.event_id.hex}") == ["wanted"]
    assert titles(browse, f"?q=event:{event.event_id}") == ["wanted"]


def test_an_invalid_filter_is_named(browse: Client, shop: ClientApp) -> None:
    make_error(shop, title="still here")

    page = browse.get("/admin/errors/?q=severity:loud+since:yesterday").content.decode()

    assert "Unknown severity" in page
    assert "is not a time" in page
    # The page must list no errors: a bulk action could otherwise change errors that the user meant to exclude.
    assert "still here" not in page


def test_a_nul_character_in_a_query_is_refused(browse: Client) -> None:
    # PostgreSQL cannot search for NUL.
    assert browse.get("/admin/errors/?q=%00").status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        *("?q=%22", "?q=:", "?q=-", "?q=is:", "?q=event:zz", "?after=x", "?sort=x"),
        *("?state=x", "?q=since:99999999999999w", "?q=since:9999w", "?q=%F0%9F%92%B3"),
        "?q=" + "a:" * 2000,
    ],
)
def test_no_query_breaks_the_page(browse: Client, shop: ClientApp, query: str) -> None:
    make_error(shop)

    assert browse.get(f"/admin/errors/{query}").status_code == 200


def test_resolved_and_muted_groups_have_their_own_tabs(browse: Client, shop: ClientApp) -> None:
    for status in ("resolved", "muted"):
        group = group_of(make_error(shop, title=status))
        ErrorGroup.objects.filter(pk=group.pk).update(status=status)

    assert titles(browse) == []
    assert titles(browse, "?state=resolved") == ["resolved"]
    assert titles(browse, "?state=muted") == ["muted"]
    assert sorted(titles(browse, "?state=all")) == ["muted", "resolved"]


def test_long_lists_continue_on_the_next_page(browse: Client, shop: ClientApp) -> None:
    for number in range(53):
        make_error(shop, title=f"{number}", received_at=NOON + timedelta(seconds=number))

    response = browse.get("/admin/errors/")
    rest = browse.get(response.context["next_url"])

    assert len(response.context["rows"]) == 50
    assert [row["group"].title for row in rest.context["rows"]] == ["2", "1", "0"]
    assert not rest.context["next_url"]


def test_the_number_of_queries_does_not_grow_with_the_list(
    browse: Client, shop: ClientApp, django_assert_max_num_queries: Callable[..., object]
) -> None:
    for _ in range(30):
        make_error(shop)
    # The first request applies the waiting changes to orders, whose queries must not be counted.
    titles(browse)

    with django_assert_max_num_queries(13):  # type: ignore[attr-defined]
        assert len(titles(browse)) == 30


@pytest.mark.parametrize(
    ("action", "status", "kind"),
    [("resolve", "resolved", "resolved"), ("mute", "muted", "muted")],
)
def test_bulk_actions_change_the_selected_groups_and_record_the_user_and_time(
    browse: Client, owner: User, shop: ClientApp, action: str, status: str, kind: str
) -> None:
    chosen, other = group_of(make_error(shop)), group_of(make_error(shop))

    answer = browse.post("/admin/errors/bulk/", {"action": action, "group": [chosen.pk]})

    assert answer.status_code == 302
    assert ErrorGroup.objects.get(pk=chosen.pk).status == status
    assert ErrorGroup.objects.get(pk=other.pk).status == "open"
    note = GroupNote.objects.get()
    assert (note.group_id, note.kind, note.by) == (chosen.pk, kind, owner)


def test_assigning_in_bulk_assigns_to_the_current_user(
    browse: Client, owner: User, shop: ClientApp
) -> None:
    group = group_of(make_error(shop))

    browse.post("/admin/errors/bulk/", {"action": "assign", "group": [group.pk]})

    assert group_of(make_error(shop, group="x")).assigned_to is None
    assert ErrorGroup.objects.get(pk=group.pk).assigned_to == owner


def test_groups_are_merged_and_unmerged(browse: Client, shop: ClientApp) -> None:
    first = group_of(make_error(shop, title="first"))
    event = make_error(shop, title="second", request_id="req-12345")
    second = group_of(event)

    browse.post("/admin/errors/bulk/", {"action": "merge", "group": [first.pk, second.pk]})

    assert titles(browse) == ["first"]
    assert titles(browse, "?q=request:req-12345") == ["first"]
    page = browse.get(f"/admin/errors/{first.pk}/").content.decode()
    assert f"/admin/errors/{first.pk}/events/{event.pk}/" in page
    assert browse.get(f"/admin/errors/{first.pk}/events/{event.pk}/").status_code == 200

    browse.post(f"/admin/errors/{first.pk}/act/", {"action": "unmerge", "merged": second.pk})

    assert sorted(titles(browse)) == ["first", "second"]


def test_groups_of_different_apps_are_not_merged(browse: Client, shop: ClientApp) -> None:
    groups = [group_of(make_error(app)).pk for app in (shop, make_app("gate"))]

    answer = browse.post("/admin/errors/bulk/", {"action": "merge", "group": groups}, follow=True)

    assert "errors of different apps cannot be merged" in answer.content.decode()
    assert len(titles(browse)) == 2


@pytest.mark.parametrize(
    "fields", [{}, {"action": "resolve"}, {"group": ["1"]}, {"action": "x", "group": ["x", "1"]}]
)
def test_an_incomplete_bulk_request_changes_nothing(
    browse: Client, shop: ClientApp, fields: dict[str, object]
) -> None:
    group = group_of(make_error(shop))

    answer = browse.post("/admin/errors/bulk/", fields, follow=True)

    assert "Nothing was changed" in answer.content.decode()
    assert ErrorGroup.objects.get(pk=group.pk).status == "open"


def test_a_bulk_action_redirects_only_to_a_previous_page_of_this_site(
    browse: Client, shop: ClientApp
) -> None:
    sent = {"action": "resolve", "group": [group_of(make_error(shop)).pk]}

    inside = browse.post("/admin/errors/bulk/", {**sent, "next": "/admin/errors/?app=shop"})
    outside = browse.post("/admin/errors/bulk/", {**sent, "next": "https://evil.example/"})

    assert inside["Location"] == "/admin/errors/?app=shop"
    assert outside["Location"] == "/admin/errors/"


def test_viewing_and_changing_require_different_permissions(
    shop: ClientApp, staff_client: Callable[..., Client]
) -> None:
    group = group_of(make_error(shop))
    sent = {"action": "resolve", "group": [group.pk]}

    no_permission, reader = staff_client(), staff_client("view_errorgroup")
    writer = staff_client("view_errorgroup", "change_errorgroup")

    assert no_permission.get("/admin/errors/").status_code == 403
    page = reader.get("/admin/errors/")
    assert page.status_code == 200
    assert 'value="resolve"' not in page.content.decode()
    assert reader.post("/admin/errors/bulk/", sent).status_code == 403
    assert ErrorGroup.objects.get(pk=group.pk).status == "open"
    assert writer.post("/admin/errors/bulk/", sent).status_code == 302
    assert ErrorGroup.objects.get(pk=group.pk).status == "resolved"


def test_anonymous_users_are_redirected_to_sign_in(client: Client) -> None:
    assert client.get("/admin/errors/")["Location"].startswith("/admin/login/")


def test_writing_by_get_is_refused(browse: Client) -> None:
    assert browse.get("/admin/errors/bulk/").status_code == 405


def test_a_refresh_returns_only_the_list(browse: Client, shop: ClientApp) -> None:
    make_error(shop, title="fresh")

    part = browse.get("/admin/errors/", headers={"HX-Request": "true"}).content.decode()

    assert "fresh" in part
    assert "<html" not in part
