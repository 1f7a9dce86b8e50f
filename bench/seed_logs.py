"""Fill the log with three days of plausible entries, and create releases, for the events of bench.seed_errors.

python -m bench.seed_logs --entries 500000
"""

import argparse
import random
from datetime import UTC, datetime, timedelta

from bench.set_up import set_up_django

set_up_django()

from django.db import connection, transaction  # noqa: E402

from bench.seed_errors import BUGS, RELEASES  # noqa: E402
from core.clients.models import ClientApp  # noqa: E402
from core.lib.scrub import Scrubber  # noqa: E402
from core.releases.models import Release  # noqa: E402
from errors.models import ErrorGroup, ReleaseCount, ReleaseErrorUser  # noqa: E402
from errors.models.events import received_id  # noqa: E402
from logs import search_index  # noqa: E402
from logs.models import Kind, Level, LogEntry  # noqa: E402
from logs.records import Record, to_entry  # noqa: E402

BATCH = 5_000
USERS = 4_000
OLD_RELEASES = 500


def seed_logs(count: int) -> None:
    """Store entries at equal intervals over three days. One entry in five is a request of a trace."""
    random.seed(11)
    now = datetime.now(UTC)
    apps = list(ClientApp.objects.filter(slug__in=["shop", "ticket-gate", "payments-function"]))
    scrubber = Scrubber()
    for start in range(0, count, BATCH):
        entries = []
        for number in range(start, min(start + BATCH, count)):
            at = now - timedelta(days=3) * (1 - (number + 1) / (count + 1))
            kind, value, _, function, _ = BUGS[number % len(BUGS)]
            is_request = number % 5 == 0
            record = Record(
                level=random.choices(list(Level), [2, 30, 50, 10, 7, 1])[0],
                body=f"POST /{function} 200 {number % 900} ms"
                if is_request
                else value.format(n=number),
                at=at,
                attributes={
                    "order_id": f"order-{number // 5}",
                    "request_id": f"request-{number // 5}",
                    "exception": kind,
                    "attempt": number % 4,
                },
                trace_id=f"{number // 5 + 1:032x}",
                span_id=f"{number + 1:016x}",
                environment="production" if number % 9 else "staging",
                release=RELEASES[number * 4 // count],
                kind=Kind.REQUEST if is_request else Kind.LOG,
            )
            entry, _ = to_entry(
                record,
                app=apps[number % len(apps)],
                scrubber=scrubber,
                now=now,
                max_age=timedelta(days=4),
            )
            entry.pk = received_id(at) + number % 2**21
            entries.append(entry)
        with transaction.atomic():
            LogEntry.objects.bulk_create(entries, batch_size=500)
            search_index.add([entry.pk for entry in entries])
        print(f"\r{min(start + BATCH, count):,} entries", end="", flush=True)


def seed_releases() -> None:
    """Create OLD_RELEASES releases per app, and the releases of the seeded events with their counts and users."""
    now = datetime.now(UTC)
    for app in ClientApp.objects.all():
        versions = [f"2025.{number}" for number in range(OLD_RELEASES)] + RELEASES
        Release.objects.bulk_create(
            [
                Release(
                    app=app,
                    version=version,
                    created_at=now - timedelta(hours=len(versions) - place),
                )
                for place, version in enumerate(versions)
            ],
            ignore_conflicts=True,
        )
        for place, release in enumerate(Release.objects.filter(app=app).order_by("-created_at")):
            ReleaseCount.objects.get_or_create(
                release=release,
                environment="production",
                defaults={"event_count": 1_000, "first_event_at": now, "last_event_at": now},
            )
            ReleaseErrorUser.objects.bulk_create(
                [
                    ReleaseErrorUser(release=release, user_key=f"user-{one}")
                    for one in range(USERS if place < 20 else USERS // 10)
                ],
                ignore_conflicts=True,
                batch_size=400,
            )
        ErrorGroup.objects.filter(app=app, pk__endswith="7").update(
            regressed_in_release=RELEASES[-1]
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=500_000)
    seed_releases()
    seed_logs(parser.parse_args().entries)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    print("\ndone")
