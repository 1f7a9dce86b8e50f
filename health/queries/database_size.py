"""Read the size of the database on disk."""

from pathlib import Path

from django.db import connection


def database_size_bytes() -> int:
    """Return the size of the database on disk, including SQLite's write-ahead log."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])
    name = Path(str(connection.settings_dict["NAME"]))
    files = [name, name.with_name(name.name + "-wal")]
    return sum(file.stat().st_size for file in files if file.exists())
