"""Run the steps of a move in order. If the process is killed in a step, the step can be repeated."""

import hashlib
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from core.lib import read_only
from errors.models.events import received_time
from errors.store import partitions
from opsportal.move.compare import compare_table
from opsportal.move.exceptions import CannotMove, Different
from opsportal.move.progress import Progress
from opsportal.move.source import Source
from opsportal.move.target import NOT_COPIED, Piece, Table, Target

PIECE_ROWS = 50_000  # One transaction copies at most this many rows.
PIECE_BYTES = 32 * 1024 * 1024  # A transaction ends after the row with which it reaches this size.
FILES = "source maps"  # The name of the step that copies files.
FILES_TABLE = "errors_storedcontent"


def move(
    url: str,
    *,
    now: datetime,
    progress: Progress,
    drain_seconds: float = read_only.DRAIN_SECONDS,
    piece_rows: int = PIECE_ROWS,
) -> None:
    """Copy all data to the database at `url`, compare both databases, and leave the SQLite file read-only.

    Raises CannotMove if the move cannot continue; the user can run it again. Raises Different if the databases differ
    after the copy; the portal can then write to SQLite again.
    """
    check_source()
    target = Target(url)
    try:
        target.check()
        notice = _become_read_only(target, now, drain_seconds, progress)
        _wait_until_enforced(notice, progress)
        with Source.locked(_source_path()) as source:
            tables = _begin(source, target, progress)
            copy(source, target, tables, progress, piece_rows)
            complete(source, target, tables)
            summaries = compare(source, target, tables, progress)
            target.finish()
        read_only.turn_on(
            read_only.Notice(notice.since, notice.enforced_at, target.name, is_moved=True)
        )
        progress.say(summaries)
    except psycopg.Error as error:
        raise CannotMove(f"PostgreSQL reported: {' '.join(str(error).split())}") from error
    except Different:
        target.start_over()
        read_only.turn_off()
        raise
    finally:
        target.close()


# --- before the copy -----------------------------------------------------------------------------------


def check_source() -> None:
    if connection.vendor != "sqlite":
        raise CannotMove("this portal already uses PostgreSQL (DATABASE_URL)")
    notice = read_only.read()
    if notice and notice.is_moved:
        raise CannotMove(
            f"this portal has already been moved to {notice.target}. To move it again, make this SQLite file writable"
            " first: ./manage.py move_to_postgresql --cancel"
        )
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise CannotMove(
            "the SQLite file belongs to another version of the portal. Start this version of the portal once, then try"
            " again."
        )


def _source_path() -> Path:
    return Path(connection.settings_dict["NAME"])


def _become_read_only(
    target: Target, now: datetime, drain_seconds: float, progress: Progress
) -> read_only.Notice:
    notice = read_only.read()
    if notice is None or notice.target != target.name:
        notice = read_only.Notice(now, time.time() + drain_seconds, target.name)
        read_only.turn_on(notice)
    progress.say("The portal is read-only: pages can be read, and changes are answered with a 503.")
    return notice


def _wait_until_enforced(notice: read_only.Notice, progress: Progress) -> None:
    seconds = notice.enforced_at + 2 * read_only.CACHE_SECONDS - time.time()
    if seconds > 0:
        progress.say(f"Waiting {seconds:.0f} s for running requests and tasks to finish …")
        time.sleep(seconds)


def _begin(source: Source, target: Target, progress: Progress) -> list[Table]:
    """Prepare the target unless a move of the same data was interrupted. Return the tables to copy."""
    fingerprint = source.fingerprint()
    if target.fingerprint() == fingerprint:
        progress.say("Continuing the interrupted copy.")
        return check_tables(source, target)
    progress.say("Creating the tables …")
    target.migrate()
    tables = check_tables(source, target)
    target.begin(fingerprint)
    return tables


def check_tables(source: Source, target: Target) -> list[Table]:
    """Return the tables to copy. Raises CannotMove if the tables or columns of the two databases differ."""
    ours = {
        name: set(columns) for name, columns in source.tables().items() if name not in NOT_COPIED
    }
    tables = target.copied_tables()
    theirs = {table.name: set(table.columns) for table in tables}
    different = sorted(
        name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
    )
    if different:
        raise CannotMove(
            f"these tables differ between the databases: {', '.join(different)}. Tables and columns that do not belong"
            " to the portal cannot be moved. Delete them, and try again."
        )
    return [table for table in tables if table.name != FILES_TABLE or not files_folder()]


# --- the copy --------------------------------------------------------------------------------------------


def copy(
    source: Source, target: Target, tables: list[Table], progress: Progress, piece_rows: int
) -> None:
    counts = {table.name: source.count(table.name) for table in tables}
    done = sum(target.copied(table.name).row_count for table in tables)
    target.create_partitions(_event_days(source))
    progress.begin("Copying", sum(counts.values()), done)
    for table in tables:
        progress.at(table.name)
        copy_table(source, target, table, piece_rows=piece_rows, on_row=progress.advance)
    progress.end()
    _copy_files(target, progress)


def _event_days(source: Source) -> list[date]:
    """Return the days when events were received."""
    days = set()
    for table, column in (("errors_errorevent", "id"), ("errors_eventpayload", "event_id")):
        id = -1
        while True:
            [found] = source.column(f"SELECT min({column}) FROM {table} WHERE {column} > {id}")  # noqa: S608
            if found is None:
                break
            day = received_time(found).date()
            days.add(day)
            id = partitions.ids_of(day)[1] - 1
    return sorted(days)


def copy_table(
    source: Source,
    target: Target,
    table: Table,
    *,
    piece_rows: int = PIECE_ROWS,
    on_row: Callable[[], object] = lambda: None,
) -> None:
    """Copy those rows of a table that have not been copied yet, in transactions of at most `piece_rows` rows."""
    last_rowid, _, is_done = target.copied(table.name)
    rows = source.rows(table.name, table.columns, last_rowid)
    line_of = table.format.line

    def lines(piece: Piece) -> Iterator[bytes]:
        size = 0
        for rowid, *values in rows:
            line = line_of(values)
            yield line
            size += len(line)
            piece.last_rowid = rowid
            piece.row_count += 1
            on_row()
            if piece.row_count >= piece_rows or size >= PIECE_BYTES:
                return
        piece.is_last = True

    while not is_done:
        with target.piece(table.name, last_rowid) as piece:
            piece.copy(table, lines(piece))
        last_rowid, is_done = piece.last_rowid, piece.is_last


def files_folder() -> Path | None:
    """Return the folder of the source maps, or None if the move need not copy them into the database."""
    folder = Path(settings.DATA_DIR) / "source-maps"
    return folder if not settings.SOURCE_MAP_STORAGE and folder.is_dir() else None


def _files() -> list[tuple[str, Path]]:
    folder = files_folder()
    if folder is None:
        return []
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.relative_to(folder).as_posix(), path) for path in paths]


def _copy_files(target: Target, progress: Progress) -> None:
    files = _files()
    if not files or target.copied(FILES).is_done:
        return
    progress.say(f"Copying {len(files):,} files of source maps …")
    for name, path in files:
        target.store_file(name, path.read_bytes())
    with target.piece(FILES, 0) as piece:
        piece.row_count, piece.is_last = len(files), True


# --- after the copy --------------------------------------------------------------------------------------


def complete(source: Source, target: Target, tables: list[Table]) -> None:
    """Set the sequences, and add the foreign keys again. Raises Different if a row refers to a missing row."""
    for table in tables:
        if table.key_length == 1:
            target.set_sequence(table, source.last_given_id(table.name))
    try:
        target.add_foreign_keys()
    except psycopg.errors.ForeignKeyViolation as error:
        raise Different([" ".join((error.diag.message_primary or "").split())]) from error


def compare(source: Source, target: Target, tables: list[Table], progress: Progress) -> str:
    """Compare all rows and files, and return a table of the counts and checksums. Raises Different if any differs."""
    problems: list[str] = []
    report = []
    counts = {table.name: source.count(table.name) for table in tables}
    progress.begin("Comparing", 2 * sum(counts.values()))
    for table in tables:
        progress.at(table.name)
        ours, found = compare_table(source, target, table, progress.advance)
        problems += found
        if ours.row_count:
            report.append(f"  {table.name:<40} {ours.row_count:>12,}  {ours.checksum}")
    progress.end()
    problems += _compare_files(target)
    if problems:
        raise Different(problems)
    return "\n".join(["Both databases have the same rows (table, rows, checksum):", *report])


def _compare_files(target: Target) -> list[str]:
    if files_folder() is None:
        return []
    ours = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in _files()}
    theirs = target.file_digests()
    different = sorted(
        name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
    )
    return [f"the source map {name} differs" for name in different]
