"""Define for each rule which data reach its threshold, which data cross it, and which change ends the alert."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from core.clients.models import ClientApp
from errors.models import ErrorGroup, MinuteCount, Severity, Status, minute_of
from health import verdict
from health.models import Component
from health.services import record_measurements, record_results
from health.signals import Activity, Counter, Delivery, Gauge, Measurement, Performance
from payments.models import Payment, WebhookEvent
from reservations.models import Reservation, TicketType
from tests.factories import (
    make_component,
    make_payment,
    make_ticket_type,
    make_webhook_event,
)

NOON = datetime(2026, 3, 10, 12, 0, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
Act = Callable[[ClientApp, datetime], object]


def errors(severity: Severity, count: int) -> Act:
    return lambda app, now: MinuteCount.objects.create(
        minute=minute_of(now), app=app, severity=severity, count=count
    )


def measured(*measurements: Measurement) -> Act:
    return lambda app, now: record_measurements(list(measurements), app=app, now=now)


def active(people: int) -> Sequence[Activity]:
    return [Activity(f"person-{number}") for number in range(people)]


def requests(count: int, *, failed: int) -> Act:
    return measured(
        Performance("view", 20, kind="request", count=count - failed),
        Performance("view", 20, kind="request", count=failed, ok=False),
    )


def tickets_left(left: int) -> Act:
    def act(app: ClientApp, now: datetime) -> None:
        type_ = TicketType.objects.first() or make_ticket_type(100, low_inventory_threshold=10)
        TicketType.objects.filter(pk=type_.pk).update(sold=100 - left)

    return act


_numbers = itertools.count(1)


def groups(count: int) -> Act:
    """Return a function that creates `count` error groups, first seen at the time passed to it."""

    def act(app: ClientApp, now: datetime) -> None:
        for _ in range(count):
            ErrorGroup.objects.create(
                app=app,
                title=f"Kind {next(_numbers)}",
                severity=Severity.HIGH,
                first_seen_at=now,
                last_seen_at=now,
            )

    return act


def regressed(status: Status) -> Act:
    def act(app: ClientApp, now: datetime) -> None:
        ErrorGroup.objects.update_or_create(
            title="Was fixed",
            defaults={
                "app": app,
                "severity": Severity.HIGH,
                "status": status,
                "regressed_at": now,
                "first_seen_at": now - 9 * DAY,
                "last_seen_at": now,
            },
        )

    return act


def unfinished_payment(age: timedelta) -> Act:
    return lambda app, now: make_payment(
        app=app,
        now=now - age,
        state=Payment.State.STARTED,
        status="asked",
        intent_id=f"pi_{next(_numbers)}",
        finished_at=None,
    )


def failed_debit(status: str) -> Act:
    """Return a function that creates a payment whose bank debit failed.

    The status "succeeded" means that the buyer then paid in another way.
    """
    return lambda app, now: make_payment(app=app, now=now, status=status, debit_failed_at=now)


def payments_finish(app: ClientApp, now: datetime) -> None:
    Payment.objects.update(state=Payment.State.FINISHED, status="succeeded", finished_at=now)


def waiting_event(age: timedelta) -> Act:
    return lambda app, now: make_webhook_event(
        type="charge.updated", received_at=now - age, next_try_at=now
    )


def events_are_processed(app: ClientApp, now: datetime) -> None:
    WebhookEvent.objects.update(state=WebhookEvent.State.PROCESSED, processed_at=now)


def hold(expired: timedelta) -> Act:
    """Return a function that creates an unreleased hold, which expired `expired` before the time passed to it."""
    return lambda app, now: Reservation.objects.create(
        app=app,
        idempotency_key=f"hold-{next(_numbers)}",
        created_at=now - expired - timedelta(minutes=15),
        expires_at=now - expired,
    )


def hold_in_processing(status: str) -> Act:
    """Return a function that creates a reservation with the given status whose bank debit is still pending."""

    def act(app: ClientApp, now: datetime) -> None:
        payment = make_payment(app=app, now=now, status="processing")
        ended = {"status": status, "ended_at": now} if status != "active" else {}
        Reservation.objects.create(
            app=app,
            idempotency_key=f"hold-{next(_numbers)}",
            created_at=now - timedelta(days=8),
            expires_at=now + timedelta(hours=1),
            processing_payment=payment,
            **ended,
        )

    return act


def debits_are_processed(app: ClientApp, now: datetime) -> None:
    Payment.objects.filter(status="processing").update(status="succeeded")


def holds_are_released(app: ClientApp, now: datetime) -> None:
    Reservation.objects.update(status="expired", ended_at=now)


def answers(good: int, bad: int) -> Act:
    """Return a function that records check results of the component "shop-api".

    The component never counts as down, so that only its error budget shrinks.
    """

    def act(app: ClientApp, now: datetime) -> None:
        component = Component.objects.filter(name="shop-api").first()
        component = component or make_component("shop-api", fail_after=10_000)
        given = [verdict.Status.HEALTHY] * good + [verdict.Status.UNHEALTHY] * bad
        record_results([(component, [verdict.Result(word, now) for word in given])], now=now)

    return act


def nothing(app: ClientApp, now: datetime) -> None:
    """Do nothing, because the problem ends automatically once the rule's window has passed."""


@dataclass(frozen=True)
class Crossing:
    rule: str
    threshold: float
    under: Act
    over: Act
    # The time after NOON by which the problem has ended.
    later: timedelta = timedelta(hours=2)
    end: Act = nothing


CROSSINGS = [
    Crossing("errors.critical", 5, errors(Severity.CRITICAL, 5), errors(Severity.CRITICAL, 1)),
    Crossing("errors.high", 20, errors(Severity.HIGH, 20), errors(Severity.HIGH, 1)),
    Crossing("errors.rate", 5, requests(1000, failed=50), requests(10, failed=1)),
    Crossing(
        "performance.slow_response",
        3000,
        measured(Performance("f", 3000, count=10)),
        measured(Performance("f", 3200, count=10)),
    ),
    Crossing(
        "performance.very_slow_response",
        10_000,
        measured(Performance("f", 10_000)),
        measured(Performance("f", 10_001)),
    ),
    Crossing(
        "performance.page_load",
        5000,
        measured(Performance("/", 5000, kind="page", count=10)),
        measured(Performance("/", 5200, kind="page", count=10)),
    ),
    Crossing(
        "delivery.failed_sms",
        10,
        measured(Delivery("sms", "failed", 10)),
        measured(Delivery("sms", "failed", 1)),
    ),
    Crossing(
        "delivery.failed_emails",
        20,
        measured(Delivery("email", "failed", 20)),
        measured(Delivery("email", "failed", 1)),
    ),
    Crossing(
        "delivery.sms_failure_rate",
        10,
        measured(Delivery("sms", "sent", 100), Delivery("sms", "failed", 10)),
        measured(Delivery("sms", "bounced", 1)),
    ),
    Crossing(
        "usage.database_size",
        8,
        measured(Gauge("database_size_bytes", 8e9)),
        measured(Gauge("database_size_bytes", 8.1e9)),
        end=measured(Gauge("database_size_bytes", 6e9)),
    ),
    Crossing(
        "usage.function_calls",
        400_000,
        measured(Performance("f", 5, count=400_000)),
        measured(Performance("f", 5, count=1)),
        later=2 * DAY,
    ),
    Crossing(
        "usage.bandwidth",
        40,
        measured(Counter("bandwidth_bytes", 40e9)),
        measured(Counter("bandwidth_bytes", 1e9)),
        later=30 * DAY,
    ),
    Crossing(
        "business.credit_balance",
        100,
        measured(Gauge("credit_balance", 101)),
        measured(Gauge("credit_balance", 100)),
        end=measured(Gauge("credit_balance", 200)),
    ),
    Crossing(
        "business.failed_gift_cards",
        5,
        measured(Counter("gift_card_provision_failed", 5)),
        measured(Counter("gift_card_provision_failed", 1)),
        later=2 * DAY,
    ),
    Crossing("activity.concurrent_users", 100, measured(*active(100)), measured(*active(101))),
    Crossing(
        "reservations.low_inventory", 0, tickets_left(11), tickets_left(10), end=tickets_left(50)
    ),
    Crossing(
        "reservations.overdue_holds",
        0,
        hold(timedelta(minutes=4)),
        hold(timedelta(minutes=10)),
        end=holds_are_released,
    ),
    Crossing(
        "reservations.processing_too_long",
        0,
        hold_in_processing("active"),
        hold_in_processing("expired"),
        end=debits_are_processed,
    ),
    Crossing("errors.new_groups", 10, groups(10), groups(1)),
    Crossing(
        "errors.regressed", 0, regressed(Status.RESOLVED), regressed(Status.REGRESSED), 2 * DAY
    ),
    Crossing(
        "payments.stuck",
        0,
        unfinished_payment(timedelta(minutes=-2)),
        unfinished_payment(timedelta(minutes=5)),
        end=payments_finish,
    ),
    Crossing(
        "payments.failed_debits",
        0,
        failed_debit("succeeded"),
        failed_debit("requires_payment_method"),
        later=2 * DAY,
    ),
    Crossing(
        "payments.webhook_lag",
        600,
        waiting_event(timedelta(minutes=4)),
        waiting_event(timedelta(minutes=10)),
        end=events_are_processed,
    ),
    # The objective is 99.9 %, so one failure in a thousand checks is a burn rate of 1, and 3 of 209 are 14.35.
    Crossing("uptime.burn_fast", 14.4, answers(206, 3), answers(0, 1), end=answers(99, 0)),
    Crossing(
        "uptime.burn_medium",
        6,
        answers(497, 3),
        answers(0, 1),
        later=timedelta(hours=8),
        end=answers(99, 0),
    ),
    Crossing(
        "uptime.burn_slow",
        1,
        answers(2997, 3),
        answers(0, 1),
        later=4 * DAY,
        end=answers(99, 0),
    ),
]
