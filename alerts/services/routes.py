"""Change the routes, which assign alert types to channels."""

from collections.abc import Iterable

from django.db import transaction

from alerts.models import AlertType, Channel
from core.lib import queue

EVERY_TYPE = 0  # A route with this type id routes every type to the channel.
Route = tuple[int, int]  # The id of the type, and the id of the channel.


@transaction.atomic
def change_routes(*, added: Iterable[Route], removed: Iterable[Route]) -> list[AlertType | Channel]:
    """Add and remove routes, and return the changed types and channels. Unknown ids are ignored."""
    changed: dict[tuple[str, int], AlertType | Channel] = {}
    for is_added, routes in ((True, added), (False, removed)):
        for type_id, channel_id in routes:
            channel = Channel.objects.filter(pk=channel_id).first()
            if channel is None:
                continue
            if type_id == EVERY_TYPE:
                Channel.objects.filter(pk=channel_id).update(gets_every_type=is_added)
                changed["channel", channel_id] = channel
                continue
            alert_type = AlertType.objects.filter(pk=type_id).first()
            if alert_type is None:
                continue
            if is_added:
                alert_type.channels.add(channel)
            else:
                alert_type.channels.remove(channel)
            changed["type", type_id] = alert_type
    announce_soon()
    return list(changed.values())


def announce_soon() -> None:
    """Announce the alerts for which no channel existed, without waiting for the next run of the scheduled task."""
    queue.enqueue("alerts.tasks.follow_up")
