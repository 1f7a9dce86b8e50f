"""Test the pages of a group, and rules that apply to the pages of groups and of events."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from core.clients.models import ClientApp
from errors.models import ErrorEvent, ErrorGroup, EventPayload, GroupUser
from tests.errors.stored import NOON, event_url, group_url, make_error
from tests.factories import make_payment

pytestmark = pytest.mark.django_db


def test_the_group_page_shows_all_facts_about_the_group(browse: Client, shop: ClientApp) -> None:
    make_error(shop, group="g", user_key="u-1", release="1.1", environment="production")
    event = make_error(
        shop,
        group="g",
        user_key="u-2",
        release="1.2",
        environment="production",
        tags=(("browser", "Firefox 133"),),
        received_at=NOON + timedelta(minutes=5),
    )

    page = browse.get(group_url(event)).content.decode()

    for shown in ("PaymentDeclined: card was declined", "shop.checkout in confirm", "Shop"):
        assert shown in page
    for shown in ("raise PaymentDeclined(reason)", "HTTPError", "SELECT 1", "Firefox 133"):
        assert shown in page
    for shown in ("u-1", "u-2", "production", "in 1.1", "in 1.2", "12:05:00 UTC"):
        assert shown in page


@pytest.mark.parametrize("span", ["24h", "7d", "30d", "nonsense"])
def test_the_chart_counts_events_in_every_span(
    browse: Client, shop: ClientApp, span: str, time_machine: "object"
) -> None:
    time_machine.move_to(NOON + timedelta(minutes=30), tick=False)  # type: ignore[attr-defined]
    make_error(shop, group="g", received_at=NOON - timedelta(hours=3))
    event = make_error(shop, group="g")

    chart = browse.get(f"{group_url(event)}?range={span}").context["chart"]

    assert sum(value or 0 for value in chart.series[0].values) == 2


def test_everything_an_app_sends_is_escaped(browse: Client, shop: ClientApp) -> None:
    evil = "<script>alert(1)</script>"
    event = make_error(
        shop,
        title=evil,
        culprit=evil,
        user_key=evil,
        release=evil,
        environment=evil,
        tags=((evil[:60], evil),),
        payload={
            "exception": {"values": [{"type": evil, "value": evil, "module": evil}]},
            "breadcrumbs": {"values": [{"message": evil, "category": evil, "data": {evil: evil}}]},
            "request": {"url": evil, "headers": {evil: evil}, "data": evil},
            "contexts": {evil: {evil: evil}},
            "extra": {evil: evil},
            "tags": {evil: evil},
            "user": {"id": evil},
        },
    )

    for url in (group_url(event), event_url(event), "/admin/errors/?state=all"):
        assert evil not in browse.get(url).content.decode()


def test_group_and_event_show_the_orders_that_they_affect(browse: Client, shop: ClientApp) -> None:
    payment = make_payment(order_id="o-1", amount=4200, status="processing")
    event = make_error(shop, payment_ref=payment.intent_id)

    for url in (group_url(event), event_url(event)):
        page = browse.get(url).content.decode()
        assert "Business impact" in page
        assert "1 order, 42.00 EUR at risk" in page
    assert reverse("payments:payment-page", args=[payment.uuid]) in page


def test_a_group_without_events_keeps_its_counts(browse: Client, shop: ClientApp) -> None:
    event = make_error(shop)
    EventPayload.objects.all().delete()
    ErrorEvent.objects.all().delete()

    page = browse.get(group_url(event)).content.decode()

    assert "No events left" in page


def test_a_merged_group_redirects_to_the_kept_group(browse: Client, shop: ClientApp) -> None:
    event, target = make_error(shop), make_error(shop)
    ErrorGroup.objects.filter(pk=event.group_id).update(merged_into=target.group_id)

    assert browse.get(group_url(event))["Location"] == group_url(target)


def test_all_events_of_a_group_can_be_paged_through(browse: Client, shop: ClientApp) -> None:
    events = [
        make_error(shop, group="g", received_at=NOON + timedelta(seconds=n)) for n in range(52)
    ]
    url = reverse("errors:event-list", args=[events[0].group_id])

    first = browse.get(url)
    second = browse.get(first.context["next_url"])

    shown = [*first.context["events"], *second.context["events"]]
    assert [event.pk for event in shown] == [event.pk for event in reversed(events)]


def test_ids_beyond_the_range_of_the_database_get_a_404(browse: Client) -> None:
    assert browse.get(f"/admin/errors/{10**30}/").status_code == 404
    assert browse.get(f"/admin/errors/1/events/{10**30}/").status_code == 404


def test_pages_need_a_limited_number_of_queries(
    browse: Client, shop: ClientApp, django_assert_max_num_queries: Callable[..., object]
) -> None:
    for number in range(15):
        event = make_error(shop, group="g", user_key=f"u-{number}", order_ref=f"o-{number}")

    # The first request applies the waiting changes to orders, whose queries must not be counted.
    browse.get(group_url(event))

    with django_assert_max_num_queries(34):  # type: ignore[attr-defined]
        browse.get(group_url(event))
    with django_assert_max_num_queries(18):  # type: ignore[attr-defined]
        browse.get(event_url(event))


@pytest.mark.parametrize("name", ["group-detail", "event-list", "event-detail", "event-raw"])
def test_viewing_requires_permission(
    shop: ClientApp, staff_client: Callable[..., Client], name: str
) -> None:
    event = make_error(shop)
    arguments = (
        [event.group_id, event.pk] if name in ("event-detail", "event-raw") else [event.group_id]
    )
    url = reverse(f"errors:{name}", args=arguments)

    assert staff_client().get(url).status_code == 403
    assert staff_client("view_errorgroup").get(url).status_code == 200


@pytest.mark.parametrize("path", ["errorgroup/", "discarded/", "userreport/"])
def test_the_admin_lists_models_without_pages_and_redirects_to_the_group_pages(
    browse: Client, path: str
) -> None:
    assert browse.get(f"/admin/errors/{path}", follow=True).status_code == 200


def test_all_tags_and_values_are_on_a_page_of_their_own(browse: Client, shop: ClientApp) -> None:
    for number in range(9):
        tags = ((f"tag-{number}", "x"), ("browser", f"Firefox {number}"))
        event = make_error(shop, group="same", tags=tags)

    page = browse.get(f"/admin/errors/{event.group_id}/").content.decode()
    assert (
        "Firefox 8" not in page or "Firefox 0" not in page
    )  # The page lists only six values of a tag.
    everything = browse.get(f"/admin/errors/{event.group_id}/tags/").content.decode()

    assert f'href="/admin/errors/{event.group_id}/tags/"' in page
    assert all(f"Firefox {number}" in everything for number in range(9))
    assert "?q=browser%3A%22Firefox+3%22" in everything


def test_all_affected_users_are_listed_page_by_page(browse: Client, shop: ClientApp) -> None:
    event = make_error(shop, group="same", user_key="u-000")
    GroupUser.objects.bulk_create(
        GroupUser(group_id=event.group_id, user_key=f"u-{number:03}") for number in range(1, 150)
    )
    ErrorGroup.objects.filter(pk=event.group_id).update(user_count=150)
    url = f"/admin/errors/{event.group_id}/users/"
    assert f'href="{url}"' in browse.get(f"/admin/errors/{event.group_id}/").content.decode()

    first = browse.get(url)
    second = browse.get(first.context["next_url"])

    keys = [user["key"] for page in (first, second) for user in page.context["users"]]
    assert keys == [f"u-{number:03}" for number in range(150)]
    assert not second.context["next_url"]
