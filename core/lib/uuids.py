import uuid
from collections.abc import Iterable


def parse_uuids(texts: Iterable[str]) -> list[uuid.UUID]:
    """Return those of the strings that are UUIDs. Skip all others, such as ids of other systems or typos."""
    found = []
    for text in texts:
        try:
            found.append(uuid.UUID(text))
        except ValueError:
            continue
    return found
