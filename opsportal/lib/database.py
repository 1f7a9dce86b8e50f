from django.db import connection


def keep_one_connection() -> None:
    """For processes that fork or that run one thing at a time: a connection kept open, instead of a pool.

    A pool must not be forked: both processes would talk on its connections. Call it before the first query.
    """
    connection.close()
    if connection.vendor == "postgresql":
        connection.settings_dict["OPTIONS"]["pool"] = False
    keep_little_in_memory()
    connection.settings_dict["CONN_MAX_AGE"] = 300
    connection.settings_dict["CONN_HEALTH_CHECKS"] = True


def keep_little_in_memory() -> None:
    """On SQLite, 2 MB of the database: the system keeps the file in its memory, too, and once for all processes."""
    if connection.vendor == "sqlite":
        connection.settings_dict["OPTIONS"]["init_command"] += "PRAGMA cache_size=-2000;"
