# ruff: noqa: E402  Django is set up before its models are imported
"""Fill a database with a month of sales: reservations with their payments and Stripe events.

DATA_DIR=/tmp/seeded python -m bench.seed_sales [--orders-per-day 1000]

Of 100 orders, 90 are paid, 8 expire and 2 are cancelled.
"""

import argparse
import random
from collections import Counter
from datetime import UTC, datetime, timedelta

from bench.set_up import set_up_django

set_up_django()

from django.db import transaction
from django.db.models import F

from core.clients.models import ClientApp
from core.clients.services import ensure_portal_app
from payments.models import Payment, WebhookEvent
from reservations.models import Event, Line, Reservation, Status, TicketType

TYPES, DAYS, CHUNK = 20, 30, 2_000
MINUTE = timedelta(minutes=1)


def seed_types() -> list[TicketType]:
    found = []
    for number in range(TYPES):
        event = Event.objects.create(name=f"Concert {number}", slug=f"bench-concert-{number}")
        found.append(
            TicketType.objects.create(
                event=event, name="Standing", capacity=1_000_000, price=2_500, currency="EUR"
            )
        )
    return found


@transaction.atomic
def seed_orders(times: list[datetime], types: list[TicketType], apps: list[ClientApp]) -> None:
    """Create one order at each of the times."""
    chance = random.Random(times[0].timestamp())
    reservations, lines, payments, events = [], [], [], []
    sold: Counter[int] = Counter()
    for at in times:
        number = f"{at.timestamp():.6f}"
        type_, quantity = chance.choice(types), chance.randint(1, 4)
        status = chance.choices([Status.COMPLETED, Status.EXPIRED, Status.CANCELLED], [90, 8, 2])[0]
        reservation = Reservation(
            app=chance.choice(apps),
            idempotency_key=number,
            status=status,
            customer=f"customer-{chance.randint(1, 20_000)}",
            order_id=f"order-{number}",
            created_at=at,
            expires_at=at + 15 * MINUTE,
            ended_at=at + chance.randint(1, 15) * MINUTE,
        )
        reservations.append(reservation)
        line = Line(reservation=reservation, ticket_type=type_, quantity=quantity)
        line.price, line.currency = type_.price, type_.currency
        lines.append(line)
        if status != Status.COMPLETED:
            continue
        sold[type_.pk] += quantity
        amount = quantity * type_.price
        payment = Payment(
            app=reservation.app,
            livemode=False,
            state=Payment.State.FINISHED,
            locked_until=at,
            amount=amount,
            amount_received=amount,
            currency="EUR",
            order_id=reservation.order_id,
            reservation_id=str(reservation.uuid),
            customer=reservation.customer,
            intent_id=f"pi_{number}",
            status="succeeded",
            compared_at=at + 30 * MINUTE,
            created_at=at,
            finished_at=at,
            expires_at=at + timedelta(hours=24),
        )
        payments.append(payment)
        reservation.payment = payment
        events.append(
            WebhookEvent(
                event_id=f"evt_{number}",
                endpoint="default",
                type="payment_intent.succeeded",
                livemode=False,
                object_id=f"pi_{number}",
                created_at=at,
                received_at=at,
                payload={},
                state=WebhookEvent.State.PROCESSED,
                next_try_at=at,
                processed_at=at + timedelta(milliseconds=300),
                payment=payment,
            )
        )
    Payment.objects.bulk_create(payments, batch_size=500)
    Reservation.objects.bulk_create(reservations, batch_size=500)
    Line.objects.bulk_create(lines, batch_size=500)
    WebhookEvent.objects.bulk_create(events, batch_size=500)
    for pk, count in sold.items():
        TicketType.objects.filter(pk=pk).update(sold=F("sold") + count)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders-per-day", type=int, default=1_000)
    count = parser.parse_args().orders_per_day * DAYS
    now = datetime.now(UTC)
    chance = random.Random(1)
    times = sorted(now - timedelta(days=DAYS) * chance.random() for _ in range(count))
    ensure_portal_app()
    apps = list(ClientApp.objects.exclude(slug=ClientApp.PORTAL_SLUG)[:3])
    types = seed_types()
    for start in range(0, count, CHUNK):
        seed_orders(times[start : start + CHUNK], types, apps)
    print(f"{count:,} orders")


if __name__ == "__main__":
    main()
