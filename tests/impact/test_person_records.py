"""Test the details, the order and the paging of a person's records, and that each kind of record is recognized."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from alerts.models import Person as TeamMember
from alerts.models import Team
from core.lib.customers import address_hashes, customer_reference
from errors.hooks import person_records as error_records
from errors.models import ErrorEvent, UserReport
from health.models import Subscriber
from health.services import subscribers
from impact.extension_points import Person, erasers
from impact.models import ProblemReference, WinBackEntry, WinBackList
from impact.queries import person as person_queries
from impact.queries.person import all_records, customers_of_order, find_person, sections
from impact.services.erasure import fingerprint
from impact.services.restored_erasures import repeat_erasures
from logs.models import LogEntry
from payments.models import TimelineEntry
from reservations import services
from tests.errors.stored import make_error
from tests.factories import make_app, make_payment, make_ticket_type
from tests.impact.support import reserve, shop
from tests.impact.test_person import log

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ADDRESS = "ann@example.org"
BUYER = "buyer-17"


def records(kind: str, given: str = BUYER) -> list[dict[str, Any]]:
    return [dict(data) for name, data in all_records(find_person(given)) if name == kind]


def make_entry(**fields: Any) -> WinBackEntry:
    written = WinBackList.objects.create(title="Outage", kind="group", problem=1, created_at=NOON)
    plain = {"order_key": "order:o-1", "amount": 4500, "currency": "EUR", "seats": 2}
    return WinBackEntry.objects.create(list=written, customer=BUYER, **{**plain, **fields})


# --- details -----------------------------------------------------------------------------------


def test_a_payment_is_shown_with_its_amounts_and_its_timeline() -> None:
    payment = make_payment(
        customer=BUYER, amount=4500, amount_received=4000, amount_refunded=500, now=NOON
    )
    TimelineEntry.objects.create(payment=payment, at=NOON, what="refunded", detail="5.00 EUR")

    [found] = records("payments")

    assert found["at"] == "2026-11-22T12:00:00+00:00"
    amounts = [found[name] for name in ("amount", "amount_received", "amount_refunded")]
    assert amounts == [4500, 4000, 500]
    assert found["timeline"] == [
        {"at": "2026-11-22T12:00:00+00:00", "what": "refunded", "detail": "5.00 EUR"}
    ]


def test_an_entry_of_a_list_is_shown_with_its_order_and_the_time_of_the_loss() -> None:
    make_entry(lost_at=NOON - timedelta(hours=1))

    assert records("list_entries") == [
        {
            "at": "2026-11-22T11:00:00+00:00",
            "list": "Outage",
            "customer": BUYER,
            "order": "o-1",
            "amount": 4500,
            "currency": "EUR",
            "seats": 2,
        }
    ]


def test_a_log_entry_is_shown_with_its_whole_text_and_all_attributes() -> None:
    body = "checkout failed " + "x" * 300
    log(body, **{"user.id": BUYER, "cart": "7"})

    [found] = records("logs")

    assert (found["body"], found["level"]) == (body, LogEntry.objects.get().level)
    assert found["attributes"] == {"user.id": BUYER, "cart": "7"}


@pytest.mark.parametrize("name", ["user.id", "user.name", "user.email", "enduser.id"])
def test_a_log_entry_is_found_and_erased_by_each_attribute_of_a_user(name: str) -> None:
    log("checkout failed", **{name: BUYER})
    log("checkout failed", **{name: "buyer-18", "cart": BUYER})
    assert [one["attributes"][name] for one in records("logs")] == [BUYER]

    _, erase = erasers.get("logs")
    erase(find_person(BUYER), 10, NOON)

    [left] = LogEntry.objects.all()
    assert left.attributes[name] == "buyer-18"


@pytest.mark.parametrize(("confirmed_at", "label"), [(NOON, "confirmed"), (None, "not confirmed")])
def test_a_subscription_says_whether_it_is_confirmed(
    confirmed_at: datetime | None, label: str
) -> None:
    subscribers.subscribe(ADDRESS, now=NOON)
    Subscriber.objects.update(confirmed_at=confirmed_at)

    [section] = [one for one in sections(find_person(ADDRESS)) if one.records]

    assert section.records[0].title.split(", ")[1] == label
    expected = "2026-11-22T12:00:00+00:00" if confirmed_at else ""
    assert section.records[0].data["confirmed_at"] == expected


def test_an_error_is_shown_with_its_payload_and_all_feedback() -> None:
    payload = {"user": {"id": BUYER}, "message": "no seats"}
    event = make_error(shop(), payload=payload, user_key=BUYER)
    for message in ("It broke.", "Again."):
        UserReport.objects.create(
            app_id=event.app_id, event_id=event.event_id, message=message, received_at=NOON
        )

    [found] = records("errors")

    assert found["event"] == payload
    assert found["feedback"] == ["It broke.", "Again."]


# --- order and paging ----------------------------------------------------------------------------


def test_the_events_of_a_group_are_read_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(error_records, "CHUNK_SIZE", 2)
    for _ in range(5):
        make_error(shop(), group="g", user_key=BUYER)

    found = [one["id"] for one in records("errors")]

    newest_first = ErrorEvent.objects.order_by("-pk").values_list("event_id", flat=True)
    assert found == [event_id.hex for event_id in newest_first]


@pytest.mark.parametrize(("count", "has_more"), [(2, False), (3, True)])
def test_the_page_shows_the_newest_records_and_the_export_contains_all(
    count: int, has_more: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(person_queries, "MAX_SHOWN", 2)
    payments = [make_payment(customer=BUYER, order_id=f"o-{number}") for number in range(count)]

    section = next(one for one in sections(find_person(BUYER)) if one.label == "Payments")

    newest_first = [str(payment.uuid) for payment in reversed(payments)]
    assert [record.data["id"] for record in section.records] == newest_first[:2]
    assert section.has_more is has_more
    assert [one["id"] for one in records("payments")] == newest_first


def test_reservations_and_waiting_list_entries_are_sorted_by_time() -> None:
    type_ = make_ticket_type(2, price=4500, has_waiting_list=True)
    made = [reserve(type_, now=NOON, order_id=f"o-{n}", customer=BUYER) for n in range(2)]
    for quantity in (1, 2):
        services.join(
            app=make_app(),
            ticket_type=type_.pk,
            quantity=quantity,
            customer=BUYER,
            order_id="",
            now=NOON,
        )

    assert [one["id"] for one in records("reservations")] == [str(row.uuid) for row in made[::-1]]
    assert [one["quantity"] for one in records("waiting_entries")] == [2, 1]


def test_a_payment_without_a_customer_is_not_offered_for_selection() -> None:
    make_payment(customer="", order_id="1001")
    make_payment("1001", customer=BUYER, order_id="2002")

    assert customers_of_order("1001") == [BUYER]


# --- each kind of record alone ---------------------------------------------------------------------


def _reserve() -> None:
    reserve(make_ticket_type(), now=NOON, customer=BUYER)


def _wait() -> None:
    type_ = make_ticket_type(1, has_waiting_list=True)
    reserve(type_, now=NOON, customer="another")
    services.join(
        app=make_app(), ticket_type=type_.pk, quantity=1, customer=BUYER, order_id="", now=NOON
    )


KINDS: dict[str, Callable[[], object]] = {
    "errors": lambda: make_error(shop(), group="g", user_key=BUYER),
    "list_entries": make_entry,
    "payments": lambda: make_payment(customer=BUYER),
    "reservations": _reserve,
    "waiting_entries": _wait,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_person_is_recognized_after_a_restore_by_one_record_of_any_kind(kind: str) -> None:
    KINDS[kind]()
    assert records(kind)

    [erasure] = repeat_erasures([[fingerprint("other")], [fingerprint(BUYER)]], now=NOON)

    # An error has the event, and a row that counts the user as affected.
    assert erasure.counts[kind] == (2 if kind == "errors" else 1)
    assert records(kind) == []


def test_subscriptions_are_recognized_after_a_restore() -> None:
    subscribers.subscribe(ADDRESS, now=NOON)

    [erasure] = repeat_erasures([[fingerprint(address_hashes(ADDRESS)[0])]], now=NOON)

    assert erasure.counts == {"subscribers": 1}


def test_after_a_restore_each_erased_person_is_erased_separately() -> None:
    for customer in (BUYER, "buyer-18"):
        make_payment(customer=customer)

    made = repeat_erasures([[fingerprint(BUYER)], [fingerprint("buyer-18")]], now=NOON)

    assert [one.counts["payments"] for one in made] == [1, 1]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "errors"])
def test_each_step_of_an_erasure_changes_at_most_the_limit(kind: str) -> None:
    for _ in range(3):
        KINDS[kind]()
    _, erase = erasers.get(kind)

    assert [erase(find_person(BUYER), 2, NOON) for _ in range(3)] == [2, 1, 0]


def test_each_step_deletes_at_most_the_allowed_number_of_subscriptions_and_log_entries() -> None:
    keys = [f"{number}" for number in range(3)]
    for key in keys:
        Subscriber.objects.create(address_hash=key, sealed_address="x", asked_at=NOON)
        log("checkout failed", **{"user.id": BUYER})
    person = Person(frozenset(), frozenset({BUYER}), frozenset(keys))

    for kind in ("subscribers", "logs"):
        _, erase = erasers.get(kind)
        assert [erase(person, 2, NOON) for _ in range(3)] == [2, 1, 0]


def test_each_step_deletes_at_most_the_allowed_number_of_links() -> None:
    for problem in range(3):
        ProblemReference.objects.create(
            ref_kind="user",
            value=BUYER,
            kind="group",
            problem=problem,
            hour=0,
            first_at=NOON,
            last_at=NOON,
        )
    person = Person(frozenset(), frozenset({BUYER}))
    _, erase = erasers.get("links")

    assert [erase(person, 2, NOON) for _ in range(3)] == [2, 1, 0]


# --- the pages ---------------------------------------------------------------------------------------


def user_with(*permissions: str) -> User:
    user = User.objects.create_user("eve", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def client_of_a_team() -> Client:
    """Return the client of a user who may erase persons, but whose team sees only the app "Shop"."""
    user = user_with("view_order", "view_erasure", "add_erasure", "see_team_apps_only")
    team = Team.objects.create(name="Shop")
    team.people.add(TeamMember.objects.create(user=user, name="Eve"))
    team.apps.add(make_app("shop"))
    client = Client()
    client.force_login(user)
    return client


PAGES = ("impact:person", "impact:erase")


@pytest.mark.parametrize("page", PAGES)
def test_a_user_who_sees_only_the_apps_of_a_team_sees_and_erases_no_person(page: str) -> None:
    client = client_of_a_team()

    assert client.get(reverse(page)).status_code == 403
    assert client.post(reverse(page), {"customer": BUYER, "step": "export"}).status_code == 403


def test_a_user_who_sees_only_the_apps_of_a_team_sees_only_their_retention() -> None:
    make_app("box-office")

    page = client_of_a_team().get(reverse("impact:retention")).content.decode()

    assert "Events of Shop" in page
    assert "Events of Box-Office" not in page


@pytest.mark.parametrize("page", PAGES)
def test_the_permissions_to_see_orders_and_erasures_do_not_include_persons(page: str) -> None:
    client = Client()
    client.force_login(user_with("view_order", "view_erasure"))

    assert client.get(reverse(page)).status_code == 403


def test_texts_of_clients_are_escaped_on_the_page(admin_client: Client) -> None:
    log("<script>alert(1)</script>", **{"user.id": '"><b>'})

    text = admin_client.post(reverse("impact:person"), {"customer": '"><b>'}).content.decode()

    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert(1)" not in text
    assert '"><b>' not in text


def test_a_nul_character_is_removed_from_the_given_value(admin_client: Client) -> None:
    make_payment(customer=BUYER)

    page = admin_client.post(reverse("impact:person"), {"customer": "buyer\0-17"})

    assert page.context["customer"] == BUYER


def test_the_download_is_valid_json_with_non_ascii_text_or_without_records(
    admin_client: Client,
) -> None:
    data = {"customer": "bücher-17", "step": "export"}
    empty: Any = admin_client.post(reverse("impact:person"), data)
    assert json.loads(b"".join(empty.streaming_content))["records"] == []
    make_payment(customer="bücher-17")

    response: Any = admin_client.post(reverse("impact:person"), data)

    text = b"".join(response.streaming_content).decode()
    assert json.loads(text)["records"][0]["kind"] == "payments"
    assert "bücher-17" in text


def test_a_stored_reference_to_an_address_finds_the_person() -> None:
    make_payment(customer=customer_reference(ADDRESS))

    assert len(records("payments", customer_reference(ADDRESS))) == 1
