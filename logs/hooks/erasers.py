"""Delete the log entries that name a person who is being erased."""

from datetime import datetime

from impact.extension_points import Person, eraser
from logs import search_index
from logs.queries import entries_of_users
from logs.services import delete_entries


@eraser("logs")
def erase_from_logs(person: Person, limit: int, now: datetime) -> int:
    """Delete at most `limit` entries whose attributes name the person as the user, and return the count."""
    entries = entries_of_users(person.users).order_by("pk").values_list("pk", flat=True)
    ids = list(entries[: limit + 1])
    delete_entries(ids[:limit])
    if 0 < len(ids) <= limit:  # A purge is slow, so it runs only once, after the last entries.
        search_index.purge()
    return len(ids[:limit])
