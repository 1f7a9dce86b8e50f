"""Compare the rows of both databases by counts and checksums, and list rows that differ.

A table's checksum is the sum of the hashes of its rows, so that it does not depend on the order of the rows. The rows
are divided by their keys into BUCKETS parts, each with its own sum. If sums differ, the table is read again, and the
rows of these parts are compared one by one.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from zlib import crc32

from opsportal.move.rows import RowFormat
from opsportal.move.source import Source
from opsportal.move.target import Table, Target

BUCKETS = 256
MAX_NAMED = 5  # Reports name at most this many differing rows of a table.
_DIGEST_BYTES = 16
_MODULUS = 1 << (8 * _DIGEST_BYTES)


class Summary(NamedTuple):
    row_count: int
    sums: list[int]  # One sum per bucket.

    @property
    def checksum(self) -> str:
        return hashlib.blake2b(repr(self.sums).encode(), digest_size=8).hexdigest()


def digest(line: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(line, digest_size=_DIGEST_BYTES).digest(), "big")


def key_of(line: bytes, length: int) -> bytes:
    """Return the first columns of the line, which are the primary key."""
    return b"\t".join(line.split(b"\t", length)[:length]).rstrip(b"\n")


def summarize(
    lines: Iterable[bytes], format: RowFormat, key_length: int, on_row: Callable[[], object]
) -> Summary:
    count, sums = 0, [0] * BUCKETS
    for line in lines:
        comparable = format.comparable(line)
        sums[crc32(key_of(comparable, key_length)) % BUCKETS] += digest(comparable)
        count += 1
        on_row()
    return Summary(count, [total % _MODULUS for total in sums])


def source_lines(source: Source, table: Table) -> Iterator[bytes]:
    line = table.format.line
    return (line(row[1:]) for row in source.rows(table.name, table.columns))


def compare_table(
    source: Source, target: Target, table: Table, on_row: Callable[[], object] = lambda: None
) -> tuple[Summary, list[str]]:
    """Return the summary of the table in SQLite, and sentences about the differences from PostgreSQL."""
    format = table.format
    ours = summarize(source_lines(source, table), format, table.key_length, on_row)
    theirs = summarize(target.lines(table), format, table.key_length, on_row)
    if ours == theirs:
        return ours, []
    buckets = {number for number in range(BUCKETS) if ours.sums[number] != theirs.sums[number]}
    problems = [
        f"{table.name}: SQLite has {ours.row_count:,} rows with checksum {ours.checksum},"
        f" PostgreSQL has {theirs.row_count:,} with checksum {theirs.checksum}"
    ]
    return ours, problems + _differing_rows(source, target, table, buckets)


def _differing_rows(source: Source, target: Target, table: Table, buckets: set[int]) -> list[str]:
    ours = _digests(source_lines(source, table), table, buckets)
    theirs = _digests(target.lines(table), table, buckets)
    columns = ", ".join(table.columns[: table.key_length])
    found = []
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) == theirs.get(key):
            continue
        what = (
            "is missing from PostgreSQL"
            if key not in theirs
            else "is not in SQLite"
            if key not in ours
            else "differs"
        )
        found.append(f"  the row with {columns} {key.decode()} {what}")
    if len(found) > MAX_NAMED:
        found[MAX_NAMED:] = [f"  and {len(found) - MAX_NAMED:,} more"]
    return found


def _digests(lines: Iterable[bytes], table: Table, buckets: set[int]) -> dict[bytes, int]:
    format, digests = table.format, {}
    for line in lines:
        comparable = format.comparable(line)
        key = key_of(comparable, table.key_length)
        if crc32(key) % BUCKETS in buckets:
            digests[key] = digest(comparable)
    return digests
