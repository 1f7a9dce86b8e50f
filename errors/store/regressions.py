"""Update resolved and muted groups when new events arrive: a group may regress, and a mute may end."""

from collections.abc import Sequence

from errors.event.new_event import NewEvent
from errors.models import ErrorGroup, GroupNote, Status


def update_status(group_id: int, events: Sequence[NewEvent]) -> int:
    """Update the group's status. Return 1 if the group regressed, else 0.

    The caller must be in the store's transaction, and must have locked the group's row and updated its counts.
    """
    group = ErrorGroup.objects.get(pk=group_id)
    now = max(event.received_at for event in events)
    if group.status == Status.RESOLVED:
        proof = [event for event in events if _proves_regression(group, event)]
        if not proof:
            return 0
        group.status = Status.REGRESSED
        group.regressed_at = now
        group.regressed_in_release = proof[0].release
        group.save(update_fields=["status", "regressed_at", "regressed_in_release"])
        GroupNote.objects.create(group=group, kind=GroupNote.Kind.REGRESSED, at=now)
        return 1
    if group.status == Status.MUTED and group.mute_is_over(now):
        group.unmute()
        group.save(
            update_fields=["status", "muted_until", "muted_until_events", "muted_until_users"]
        )
        GroupNote.objects.create(group=group, kind=GroupNote.Kind.UNMUTED, at=now)
    return 0


def _proves_regression(group: ErrorGroup, event: NewEvent) -> bool:
    """Return True if the event proves that the error was not fixed.

    An event proves nothing if it is older than the resolution, or if its release is older than the fixed release.
    """
    if group.resolved_at is None:
        return True
    if event.received_at <= group.resolved_at or event.occurred_at <= group.resolved_at:
        return False
    if not group.resolved_in_release:
        return True
    return not event.release or not is_older_release(event.release, group.resolved_in_release)


def is_older_release(release: str, than: str) -> bool:
    """Return True if a release such as `package@1.10.2` has a lower version number than `than`.

    Return False if either release has no version number.
    """
    one, other = _numbers(release), _numbers(than)
    return bool(one and other) and one < other


def _numbers(release: str) -> tuple[int, ...]:
    version = release.rpartition("@")[2].partition("+")[0].lstrip("vV")
    numbers = []
    for part in version.replace("-", ".").split("."):
        if not (part.isascii() and part.isdigit()):
            break
        numbers.append(int(part))
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()  # Trailing zeros are ignored, because 1.2 and 1.2.0 are equal.
    return tuple(numbers)
