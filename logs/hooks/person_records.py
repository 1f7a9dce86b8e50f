"""List the log entries that name a person, for the report of all data stored about that person."""

from collections.abc import Iterator

from impact.extension_points import Person, PersonRecord, person_records
from logs.queries import entries_of_users

CHUNK_SIZE = 500


@person_records("logs", label="Log entries")
def entries_of(person: Person) -> Iterator[PersonRecord]:
    entries = entries_of_users(person.users).select_related("app").order_by("-pk")
    for entry in entries.iterator(chunk_size=CHUNK_SIZE):
        yield PersonRecord(
            title=entry.body[:200],
            at=entry.at,
            data={
                "app": entry.app.slug,
                "level": entry.level,
                "body": entry.body,
                "attributes": entry.attributes,
                "trace_id": entry.trace_id,
                "request_id": entry.request_id,
            },
        )
