"""Save the history of components and the ping URLs of heartbeats from an import."""

import uuid
from collections.abc import Mapping

from health.imports.imported import History
from health.models import Component, Heartbeat, Uptime

BATCH_SIZE = 1_000


def add_history(histories: Mapping[str, History]) -> int:
    """Add hourly and daily results to components by name, and return the number of added rows.

    Existing rows are kept, and unknown names are ignored.
    """
    components = dict(Component.objects.filter(name__in=histories).values_list("name", "pk"))
    points = [
        Uptime(
            component_id=components[name],
            tier=tier,
            start=start,
            healthy=point.healthy,
            unhealthy=point.unhealthy,
            maintenance=point.maintenance,
            total_ms=point.total_ms,
            highest_ms=point.highest_ms,
        )
        for name, history in histories.items()
        if name in components
        for (tier, start), point in history.items()
    ]
    before = Uptime.objects.count()
    Uptime.objects.bulk_create(points, batch_size=BATCH_SIZE, ignore_conflicts=True)
    return Uptime.objects.count() - before


def keep_ping_keys(keys: Mapping[str, uuid.UUID]) -> list[str]:
    """Give heartbeats their ping URLs from the other system.

    Return the names of the heartbeats whose URL already belongs to another heartbeat.
    """
    taken = []
    for name, key in keys.items():
        owner = Heartbeat.objects.filter(ping_key=key).first()
        if owner is None:
            Heartbeat.objects.filter(name=name).update(ping_key=key)
        elif owner.name != name:
            taken.append(name)
    return taken
