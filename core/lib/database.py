from django.db import connection


def keep_one_connection() -> None:
    """Use one persistent connection instead of a pool, for processes that fork or run one query at a time.

    A pool must not be forked, because both processes would use its connections. This function must be called before the
    first query.
    """
    connection.close()
    if connection.vendor == "postgresql":
        connection.settings_dict["OPTIONS"]["pool"] = False
    keep_little_in_memory()
    connection.settings_dict["CONN_MAX_AGE"] = 300
    connection.settings_dict["CONN_HEALTH_CHECKS"] = True


def keep_little_in_memory() -> None:
    """Limit SQLite's cache to 2 MB per connection, because all processes share the operating system's file cache."""
    if connection.vendor == "sqlite":
        connection.settings_dict["OPTIONS"]["init_command"] += "PRAGMA cache_size=-2000;"
