"""Add measurements to the roll-ups per minute, hour and day."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from core.clients.models import ClientApp
from core.lib.upsert import upsert
from health import histogram
from health.models import ActiveUser, Latency, Series, SeriesKind, Tier, Value
from health.queries.deliveries import series_name
from health.signals import Activity, Counter, Delivery, Gauge, Measurement, Performance

# An app that puts ids into names would create a series per id. Further series are combined in the series OTHER.
MAX_SERIES_PER_APP = 2_000
OTHER = "(other)"
NAMES_PER_QUERY = 400
MAX_AGE = timedelta(hours=24)

# Contains the id of the app, the kind, the name and the environment.
SeriesKey = tuple[int | None, str, str, str]
PointKey = tuple[SeriesKey, datetime]


@transaction.atomic
def record_measurements(
    measurements: Sequence[Measurement], *, app: ClientApp, now: datetime
) -> None:
    """Add measurements to the roll-ups. Timestamps in the future or older than MAX_AGE become `now`."""
    latencies: dict[PointKey, dict[str, float]] = {}
    values: dict[PointKey, dict[str, float]] = {}
    seen_at: dict[str, datetime] = {}
    for item in measurements:
        at = item.at if item.at and now - MAX_AGE <= item.at <= now else now
        minute = Tier.MINUTE.floor(at)
        match item:
            case Performance():
                key = (app.pk, item.kind, item.name, item.environment)
                _add_latency(latencies, (key, minute), item)
                _add_latency(latencies, ((None, item.kind, "", ""), minute), item)
            case Activity():
                user = hash_user(item.user)
                seen_at[user] = max(at, seen_at.get(user, at))
            case Delivery():
                name = series_name(item.channel, item.outcome)
                _add_value(values, ((app.pk, SeriesKind.DELIVERY, name, ""), minute), item.count)
            case Counter():
                _add_value(
                    values, ((app.pk, SeriesKind.COUNTER, item.name, ""), minute), item.value
                )
            case Gauge():
                _add_value(values, ((app.pk, SeriesKind.GAUGE, item.name, ""), minute), item.value)
    series = _series_ids({key for key, _ in (*latencies, *values)}, app=app)
    upsert(
        Latency,
        _roll_up(latencies, series),
        key=Latency.KEY,
        add=("count", "measured", "failed", "total_ms", *Latency.BUCKETS),
        greatest=("highest_ms",),
    )
    upsert(
        Value,
        _roll_up(values, series),
        key=Value.KEY,
        add=("count", "total"),
        least=("lowest",),
        greatest=("highest",),
        replace=("last",),
    )
    upsert(
        ActiveUser,
        [{"app": app.pk, "user_hash": user, "seen_at": at} for user, at in seen_at.items()],
        key=("app", "user_hash"),
        greatest=("seen_at",),
    )


def hash_user(user: str) -> str:
    """Return a pseudonym of the user id: a hash keyed with the secret of this installation."""
    return blake2b(user.encode(), key=settings.SECRET_KEY.encode()[:64], digest_size=16).hexdigest()


def _add_latency(
    points: dict[PointKey, dict[str, float]], key: PointKey, item: Performance
) -> None:
    point = points.get(key)
    if point is None:
        point = points[key] = dict.fromkeys(
            ("count", "measured", "failed", "total_ms", "highest_ms", *Latency.BUCKETS), 0
        )
    count = item.count * item.weight
    point["count"] += count
    point["measured"] += item.count
    point["failed"] += 0 if item.ok else count
    point["total_ms"] += item.duration_ms * count
    point["highest_ms"] = max(point["highest_ms"], item.duration_ms)
    point[Latency.BUCKETS[histogram.bucket_of(item.duration_ms)]] += count


def _add_value(points: dict[PointKey, dict[str, float]], key: PointKey, value: float) -> None:
    point = points.get(key)
    if point is None:
        points[key] = {"count": 1, "total": value, "lowest": value, "highest": value, "last": value}
        return
    point["count"] += 1
    point["total"] += value
    point["lowest"] = min(point["lowest"], value)
    point["highest"] = max(point["highest"], value)
    point["last"] = value


def _merge(into: dict[str, float], point: dict[str, float]) -> None:
    for name, value in point.items():
        if name.startswith("highest"):
            into[name] = max(into[name], value)
        elif name == "lowest":
            into[name] = min(into[name], value)
        elif name == "last":
            into[name] = value
        else:
            into[name] += value


def _roll_up(
    minutes: dict[PointKey, dict[str, float]], series: dict[SeriesKey, int]
) -> Iterable[dict[str, object]]:
    """Return the points of all tiers: the given minutes, and the hours and days that contain them."""
    merged: dict[tuple[int, int, datetime], dict[str, float]] = {}
    for (key, minute), point in sorted(minutes.items(), key=lambda entry: entry[0][1]):
        for tier in Tier:
            point_key = (series[key], tier.value, tier.floor(minute))
            if point_key in merged:
                _merge(merged[point_key], point)
            else:
                merged[point_key] = dict(point)
    return [
        {"series": series_id, "tier": tier, "start": start, **point}
        for (series_id, tier, start), point in merged.items()
    ]


def _series_ids(wanted: set[SeriesKey], *, app: ClientApp) -> dict[SeriesKey, int]:
    """Return the id of each series, and create missing ones.

    Series beyond the app's limit get the id of its series OTHER.
    """
    found = _load_ids(wanted, app=app)
    missing = sorted(wanted - found.keys(), key=str)
    if missing:
        remaining = MAX_SERIES_PER_APP - Series.objects.filter(app=app).count()
        new = [key for key in missing if key[0] is None]
        own = [key for key in missing if key[0] is not None]
        new += own[: max(0, remaining)]
        excess = own[max(0, remaining) :]
        others = {(app_id, kind, OTHER, "") for app_id, kind, _, _ in excess}
        Series.objects.bulk_create(
            [
                Series(app_id=app_id, kind=kind, name=name, environment=environment)
                for app_id, kind, name, environment in {*new, *others}
            ],
            ignore_conflicts=True,
        )
        found |= _load_ids({*new, *others}, app=app)
        found |= {key: found[key[0], key[1], OTHER, ""] for key in excess}
    return found


def _load_ids(wanted: set[SeriesKey], *, app: ClientApp) -> dict[SeriesKey, int]:
    names = sorted({name for _, _, name, _ in wanted})
    found: dict[SeriesKey, int] = {}
    for start in range(0, len(names), NAMES_PER_QUERY):
        rows = Series.objects.filter(
            Q(app=app) | Q(app=None), name__in=names[start : start + NAMES_PER_QUERY]
        ).values_list("app_id", "kind", "name", "environment", "pk")
        found |= {key: pk for *parts, pk in rows if (key := (*parts,)) in wanted}
    return found
