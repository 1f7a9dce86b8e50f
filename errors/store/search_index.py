"""Maintain the searchable text of groups.

For a string that this process has already indexed, the cost is only a lookup in a set.
"""

from collections.abc import Iterable

from errors.event.new_event import NewEvent
from errors.models import GroupText

# A process does not index further texts of a group.
MAX_TEXTS_PER_GROUP = 50
_MAX_GROUPS = 20_000


class TextCache:
    """The texts that this process has indexed, by group."""

    def __init__(self) -> None:
        self._seen: dict[int, set[tuple[str, str]]] = {}

    def is_new(self, group_id: int, event: NewEvent) -> bool:
        seen = self._seen.get(group_id)
        if seen is None:
            if len(self._seen) >= _MAX_GROUPS:
                self._seen.clear()
            seen = self._seen[group_id] = set()
        text = (event.title, event.culprit)
        if text in seen or len(seen) >= MAX_TEXTS_PER_GROUP:
            return False
        seen.add(text)
        return True

    def remove(self, group_ids: Iterable[int]) -> None:
        for group_id in group_ids:
            self._seen.pop(group_id, None)

    def clear(self) -> None:
        self._seen.clear()


text_cache = TextCache()


def add(events: Iterable[tuple[int, NewEvent]], *, new_groups: Iterable[int]) -> None:
    """Make the events' texts searchable, unless a group's text would be longer than GroupText.MAX_LENGTH.

    Call this in the store's transaction, with the groups' rows locked.
    """
    # A transaction that was rolled back may have used the same ids for other groups.
    text_cache.remove(new_groups)
    new: dict[int, list[NewEvent]] = {}
    for group_id, event in events:
        if text_cache.is_new(group_id, event):
            new.setdefault(group_id, []).append(event)
    if not new:
        return
    known = dict(GroupText.objects.filter(pk__in=new).values_list("pk", "text"))
    rows = []
    for group_id, of_group in sorted(new.items()):
        before = text = known.get(group_id, "")
        for event in of_group:
            for line in (event.title, event.culprit, event.type, event.function):
                if line.lower() not in text:
                    text += f"{line.lower()}\n"
        if text != before and len(text) <= GroupText.MAX_LENGTH:
            rows.append(GroupText(group_id=group_id, text=text))
    GroupText.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["group"], update_fields=["text"]
    )
