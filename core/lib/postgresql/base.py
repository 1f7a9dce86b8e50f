"""Provide a database backend that fails early while PostgreSQL is unavailable, and reports unconfirmed commits.

With Django's own backend, a pool without connections blocks for its full timeout on every query. An outage would soon
block every thread, because even an error page makes several queries. The module `driver` explains unconfirmed commits.
"""

from typing import Any

from django.db.backends.postgresql import base
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from core.lib.postgresql import driver

# After waiting this time for a pooled connection, the backend checks that the database responds.
ATTEMPT_TIMEOUT_SECONDS = 1.0
MAX_ATTEMPTS = 5
# During an outage, a query waits only this long for a connection, while the pool keeps trying to reconnect.
UNAVAILABLE_TIMEOUT_SECONDS = 0.1


class DatabaseWrapper(base.DatabaseWrapper):
    Database = driver

    def __init__(self, settings_dict: dict[str, Any], *arguments: Any, **options: Any) -> None:
        super().__init__(settings_dict, *arguments, **options)
        if pool := settings_dict["OPTIONS"].get("pool"):
            pool["connection_class"] = driver.Connection

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if not self.pool:
            return super().get_new_connection(conn_params)
        for attempt in range(MAX_ATTEMPTS):
            try:
                connection = super().get_new_connection(conn_params)
            except PoolTimeout:
                if self.pool.timeout == UNAVAILABLE_TIMEOUT_SECONDS:
                    raise
                if not self._is_available(conn_params):
                    self.pool.timeout = UNAVAILABLE_TIMEOUT_SECONDS
                    raise
                if attempt == MAX_ATTEMPTS - 1:
                    raise  # The database responds, so the pool is exhausted: all of its connections are in use.
            else:
                self.pool.timeout = ATTEMPT_TIMEOUT_SECONDS
                return connection
        raise AssertionError("unreachable")

    def _is_available(self, conn_params: dict[str, Any]) -> bool:
        try:
            self.Database.connect(**{**conn_params, "connect_timeout": 1}).close()
        except OperationalError:
            return False
        return True
