import uuid
from collections.abc import Iterable


def uuids_among(texts: Iterable[str]) -> list[uuid.UUID]:
    """Those that are UUIDs; the others (ids of other systems, typing errors) are passed over."""
    found = []
    for text in texts:
        try:
            found.append(uuid.UUID(text))
        except ValueError:
            continue
    return found
