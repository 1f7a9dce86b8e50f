"""Fill the error store with a month of plausible events, directly in its tables.

    python -m bench.seed_errors --events 200000

Use the events to measure pages and queries on large tables; bench.ingest_load measures ingestion. The groups with their
hourly counts, tags and users, and the counts per minute, match the events.
"""

import argparse
import random
import uuid
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

from bench.set_up import set_up_django

set_up_django()

import msgspec  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.models import Model  # noqa: E402

from core.clients.models import ClientApp, ClientKey, Platform  # noqa: E402
from errors.models import (  # noqa: E402
    ErrorEvent,
    ErrorGroup,
    EventPayload,
    GroupHash,
    GroupHour,
    GroupTag,
    GroupText,
    GroupUser,
    MinuteCount,
    SeenEvent,
    hour_of,
    minute_of,
    received_id,
)
from errors.store import partitions  # noqa: E402
from errors.store.payloads import pack  # noqa: E402

APPS = [
    ("Shop", "shop", Platform.PYTHON),
    ("Ticket gate", "ticket-gate", Platform.NODE),
    ("Payments function", "payments-function", Platform.NODE),
    ("Messaging", "messaging", Platform.PYTHON),
]
BUGS = [
    ("PaymentDeclined", "the bank declined card ending in {n}", "shop.checkout", "confirm_payment", "critical"),
    ("SoldOut", "only {n} of 4 tickets are left for stand B", "shop.cart", "reserve_tickets", "high"),
    ("TimeoutError", "no answer from the seat map within {n} ms", "shop.seats", "load_seat_map", "high"),
    ("KeyError", "'voucher_{n}'", "shop.vouchers", "apply_voucher", "high"),
    ("TypeError", "Cannot read properties of undefined (reading 'zone{n}')", "gate/scan.js", "openGate", "high"),
    ("ConnectionResetError", "connection reset by printer {n}", "gate/print.js", "printTicket", "warning"),
    ("StripeConnectionError", "no route to the payment provider, try {n}", "payments/intent.js", "createIntent", "critical"),
    ("ValidationError", "phone number with {n} digits cannot be used", "messaging.sms", "send_sms", "warning"),
    ("IntegrityError", "order {n} has a ticket already", "shop.orders", "issue_ticket", "critical"),
    ("RateLimited", "the mail provider asks to wait {n} s", "messaging.mail", "send_mail", "info"),
]  # fmt: skip
RELEASES = ["2026.11.1", "2026.11.2", "2026.11.3", "2026.11.4"]
BROWSERS = ["Chrome 131", "Firefox 133", "Safari 18.1", "Edge 131", "Chrome Mobile 131"]
BATCH = 20_000


def payload(
    bug: tuple[str, str, str, str, str], number: int, event_id: str, occurred_at: datetime
) -> bytes:
    kind, value, module, function, severity = bug
    file = module if module.endswith(".js") else module.replace(".", "/") + ".py"
    library = [
        {"filename": f"django/core/handlers/{name}.py", "function": "inner", "lineno": line, "in_app": False,
         "context_line": "    response = get_response(request)"}
        for name, line in (("exception", 55), ("base", 197), ("base", 181))
    ]  # fmt: skip
    own = [
        {"filename": "shop/views.py", "module": "shop.views", "function": "checkout", "lineno": 88, "in_app": True,
         "pre_context": ["def checkout(request):", "    cart = Cart.of(request)", "    total = cart.total()"],
         "context_line": "    order = place_order(cart, total)",
         "post_context": ["    return redirect(order)", ""],
         "vars": {"cart": "<Cart: 3 tickets>", "total": "Decimal('184.50')", "request": "<WSGIRequest: POST '/checkout/'>"}},
        {"filename": file, "module": module, "function": function, "lineno": 42, "in_app": True,
         "pre_context": ["", f"def {function}(order, attempt):", "    answer = provider.ask(order)"],
         "context_line": f"    raise {kind}(answer.reason)",
         "post_context": ["    return answer", ""],
         "vars": {"order": f"<Order #{100000 + number}>", "attempt": str(number % 4), "answer": "<Answer 402>"}},
    ]  # fmt: skip
    cause = {
        "type": "HTTPError",
        "value": "402 from the provider",
        "module": "httpx",
        "stacktrace": {
            "frames": [
                {
                    "filename": "httpx/_client.py",
                    "function": "send",
                    "lineno": 914,
                    "in_app": False,
                }
            ]
        },
    }
    return msgspec.json.encode(
        {
            "event_id": event_id,
            "platform": "python",
            "level": severity,
            "environment": "production",
            "exception": {
                "values": [
                    cause,
                    {
                        "type": kind,
                        "value": value.format(n=number),
                        "module": module,
                        "mechanism": {"type": "django", "handled": False},
                        "stacktrace": {"frames": [*library, *own]},
                    },
                ]
            },
            "breadcrumbs": {
                "values": [
                    {"timestamp": (occurred_at - timedelta(seconds=9)).timestamp(), "category": "navigation", "message": "/cart/ → /checkout/"},
                    {"timestamp": (occurred_at - timedelta(seconds=4)).timestamp(), "category": "query", "message": "SELECT … FROM tickets WHERE order_id = %s", "data": {"duration_ms": 3}},
                    {"timestamp": (occurred_at - timedelta(seconds=1)).timestamp(), "category": "http", "level": "warning", "message": "POST /v1/payment_intents", "data": {"status_code": 402}},
                ]
            },
            "request": {"method": "POST", "url": "https://shop.example/checkout/", "headers": {"User-Agent": "Mozilla/5.0", "Cookie": "[Filtered]"}, "data": {"tickets": 3, "card": "[Filtered]"}},
            "user": {"id": f"user-{number % 4000}"},
            "tags": {"browser": BROWSERS[number % 5], "stand": f"{number % 7}"},
            "contexts": {"runtime": {"name": "CPython", "version": "3.11.2"}, "os": {"name": "Linux"}},
            "extra": {"order_id": f"order-{100000 + number}"},
            "sdk": {"name": "sentry.python.django", "version": "2.19.0"},
            "modules": {"django": "5.2.8", "httpx": "0.28.1", "stripe": "12.0.0"},
        }
    )  # fmt: skip


EVENT_COLUMNS = (
    "id", "app_id", "group_id", "event_id", "occurred_at", "severity", "environment", "release", "category",
    "function", "message", "request_id", "user_key", "organization", "order_ref", "payment_ref", "reservation_ref",
)  # fmt: skip


def load(model: type[Model], columns: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    """Insert the rows in the fastest way: COPY on PostgreSQL, executemany on SQLite."""
    table, names = model._meta.db_table, ", ".join(columns)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join(["%s"] * len(columns))
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)


def seed(events: int, groups: int, days: int, payload_every: int, *, only_rollups: bool) -> None:
    random.seed(7)
    now = datetime.now(UTC)
    apps = []
    for name, slug, platform in APPS:
        app, is_new = ClientApp.objects.get_or_create(
            slug=slug, defaults={"name": name, "platform": platform}
        )
        if is_new:
            ClientKey.objects.create(app=app)
        apps.append(app)
    new_groups = []
    for number in range(groups):
        kind, value, module, function, severity = BUGS[number % len(BUGS)]
        new_groups.append(
            ErrorGroup(
                app=apps[number % len(apps)],
                title=f"{kind}: {value.format(n=number)}",
                culprit=f"{module} in {function}",
                type=kind,
                function=function,
                severity=severity,
                status=random.choices(["open", "resolved", "muted", "regressed"], [70, 18, 8, 4])[
                    0
                ],
                first_seen_at=now,
                last_seen_at=now,
                platform="python",
            )
        )
    ErrorGroup.objects.bulk_create(new_groups, batch_size=500)
    GroupHash.objects.bulk_create(
        [
            GroupHash(app=group.app, hash=uuid.uuid4().hex, version=1, group=group, home=group)
            for group in new_groups
        ],
        batch_size=500,
    )
    GroupText.objects.bulk_create(
        [
            GroupText(group=group, text=f"{group.title}\n{group.culprit}\n{group.type}\n".lower())
            for group in new_groups
        ],
        batch_size=500,
    )
    packed = [
        pack(payload(BUGS[index % len(BUGS)], index, uuid.uuid4().hex, now))
        for index in range(min(groups, 200))
    ]
    span = timedelta(days=days)
    for day in range(days + 2):
        with transaction.atomic():
            partitions.ensure((now - timedelta(days=day)).date())
    hours: Counter[tuple[int, int]] = Counter()
    minutes: Counter[tuple[int, int, str]] = Counter()
    tags: Counter[tuple[int, str, str]] = Counter()
    users: dict[int, set[str]] = defaultdict(set)
    for start in range(0, events, BATCH):
        rows: list[tuple[object, ...]] = []
        bodies: list[tuple[object, ...]] = []
        seen: list[tuple[object, ...]] = []
        for number in range(start, min(start + BATCH, events)):
            occurred_at = now - span * (1 - (number + 1) / events)
            # A third of the events belong to forty groups. The other events are spread over all groups.
            index = number * 7919 % groups if number % 3 else number * 31 % min(40, groups)
            group = new_groups[index]
            event_id = random.getrandbits(128).to_bytes(16).hex()
            key = received_id(occurred_at) + number % 2**21
            release = RELEASES[number * 4 // events]
            user = f"user-{number * 31 % 4000}"
            environment = "production" if number % 9 else "staging"
            if not only_rollups:
                linked = number % 50 == 0
                occurred_text = occurred_at.strftime("%Y-%m-%d %H:%M:%S.%f")
                rows.append(
                    (
                        key, group.app_id, group.pk, event_id, occurred_text, group.severity, environment, release, "", group.function,
                        group.title[:200], random.getrandbits(128).to_bytes(16).hex(), user, "",
                        f"order-{number}" if linked else "", f"pi_{number}" if linked else "", "",
                    )
                )  # fmt: skip
                if number % payload_every == 0 or number >= events - 1000:
                    bodies.append((key, None, packed[index % len(packed)]))
                seen.append((group.app_id, event_id, key))
            hours[group.pk, hour_of(occurred_at)] += 1
            minutes[minute_of(occurred_at), group.app_id, group.severity] += 1
            for tag, value in (
                ("environment", environment),
                ("release", release),
                ("browser", BROWSERS[number % 5]),
                ("function", group.function),
            ):
                tags[group.pk, tag, value] += 1
            users[group.pk].add(user)
            if not group.event_count:
                group.first_seen_at, group.first_release = occurred_at, release
            group.event_count += 1
            group.last_seen_at, group.last_release, group.last_event = occurred_at, release, key
        with transaction.atomic():
            load(ErrorEvent, EVENT_COLUMNS, rows)
            load(EventPayload, ("event_id", "dictionary_id", "data"), bodies)
            load(SeenEvent, ("app_id", "event_id", "event"), seen)
        print(f"\r{min(start + BATCH, events):,} events", end="", flush=True)
    with transaction.atomic():
        GroupHour.objects.bulk_create(
            [GroupHour(group_id=g, hour=h, count=n) for (g, h), n in hours.items()], batch_size=2000
        )
        MinuteCount.objects.bulk_create(
            [
                MinuteCount(minute=m, app_id=a, severity=s, count=n)
                for (m, a, s), n in minutes.items()
            ],
            batch_size=2000,
            ignore_conflicts=True,
        )
        GroupTag.objects.bulk_create(
            [GroupTag(group_id=g, key=k, value=v, count=n) for (g, k, v), n in tags.items()],
            batch_size=2000,
        )
        GroupUser.objects.bulk_create(
            [GroupUser(group_id=g, user_key=u) for g, us in users.items() for u in us],
            batch_size=2000,
        )
        for group in new_groups:
            group.user_count = len(users[group.pk])
        ErrorGroup.objects.bulk_update(
            new_groups,
            ["event_count", "user_count", "first_seen_at", "last_seen_at", "first_release", "last_release", "last_event"],
            batch_size=200,
        )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    print("\ndone")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--groups", type=int, default=2_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument(
        "--payload-every",
        type=int,
        default=1,
        help="store a payload for every Nth event only, to save disk space",
    )
    parser.add_argument(
        "--only-rollups",
        action="store_true",
        help="seed no events, only the counts that alert rules read",
    )
    options = parser.parse_args()
    seed(
        options.events,
        options.groups,
        options.days,
        options.payload_every,
        only_rollups=options.only_rollups,
    )
