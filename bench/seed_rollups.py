"""Generate the roll-ups of 50 million events on PostgreSQL, to measure pages on tables of that size.

    python -m bench.seed_errors --events 1000000 --groups 20000
    python -m bench.seed_rollups --events 50000000

Only roll-ups are generated, because pages read single events only by their id or by their group. Each group gets a row
for each hour of 30 days, and further users and tag values; each app gets a count for each minute.
"""

import argparse
import time

from bench.set_up import set_up_django

set_up_django()

from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from errors.models import Severity, hour_of, minute_of  # noqa: E402

DAYS = 30
USERS_PER_GROUP = 250
VALUES_PER_GROUP = 30
# A group's share of all events falls with its number, so that a few groups are busy and most are rare.
STEPS = {
    "hours of groups": """
        INSERT INTO errors_grouphour (group_id, hour, count)
        SELECT ranked.id, hour, greatest(1, (2 * %(per_hour)s * random() * ranked.weight)::int)
        FROM (SELECT id, %(groups)s / (rank() OVER (ORDER BY id) * ln(%(groups)s)) AS weight
              FROM errors_errorgroup) ranked,
             generate_series(%(hour)s - 24 * %(days)s + 1, %(hour)s) AS hour
        ON CONFLICT (group_id, hour) DO UPDATE SET count = errors_grouphour.count + excluded.count""",
    "minutes of apps": """
        INSERT INTO errors_minutecount (app_id, severity, minute, count)
        SELECT app.id, severity, minute, greatest(1, (2 * %(per_minute)s * random())::int)
        FROM clients_clientapp app, unnest(%(severities)s::text[]) AS severity,
             generate_series(%(minute)s - 1440 * %(days)s + 1, %(minute)s) AS minute
        ON CONFLICT (minute, app_id, severity) DO UPDATE SET count = errors_minutecount.count + excluded.count""",
    "hours of apps": """
        INSERT INTO errors_hourcount (app_id, severity, hour, count)
        SELECT app_id, severity, minute / 60, sum(count) FROM errors_minutecount
        WHERE minute / 60 < %(hour)s GROUP BY 1, 2, 3
        ON CONFLICT (hour, app_id, severity) DO UPDATE SET count = excluded.count""",
    "users of groups": """
        INSERT INTO errors_groupuser (group_id, user_key)
        SELECT id, 'u' || (random() * 200000)::int FROM errors_errorgroup, generate_series(1, %(users)s)
        ON CONFLICT DO NOTHING""",
    "tags of groups": """
        INSERT INTO errors_grouptag (group_id, key, value, count)
        SELECT id, 'seat_map', 'map ' || number, 1 + (random() * 50)::int
        FROM errors_errorgroup, generate_series(1, %(values)s) AS number
        ON CONFLICT DO NOTHING""",
    "sums of groups": """
        UPDATE errors_errorgroup SET event_count = hours.sum
        FROM (SELECT group_id, sum(count) AS sum FROM errors_grouphour GROUP BY 1) hours
        WHERE hours.group_id = id""",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=50_000_000)
    events = parser.parse_args().events
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM errors_errorgroup")
        (groups,) = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM clients_clientapp")
        (apps,) = cursor.fetchone()
        parameters = {
            "groups": groups,
            "days": DAYS,
            "hour": hour_of(now),
            "minute": minute_of(now),
            "per_hour": events / groups / DAYS / 24,
            "per_minute": events / apps / len(Severity) / DAYS / 1440,
            "severities": list(Severity.values),
            "users": USERS_PER_GROUP,
            "values": VALUES_PER_GROUP,
        }
        for name, sql in STEPS.items():
            began = time.monotonic()
            cursor.execute(sql, parameters)
            print(f"{name}: {cursor.rowcount:,} rows, {time.monotonic() - began:.0f} s", flush=True)
        cursor.execute("ANALYZE")


if __name__ == "__main__":
    main()
