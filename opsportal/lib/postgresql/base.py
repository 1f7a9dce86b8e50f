"""Nobody waits long for a database that is away.

A pool without a connection lets everybody wait for its whole timeout, again for each query of a request. A page that is to
say "not available" asks several times, so it took 40 s to say so, and soon every thread was waiting.
"""

from typing import Any

from django.db.backends.postgresql import base
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

TURN = 1.0  # seconds to wait for a connection, and then to look whether there is a database at all
TURNS = 5
WHILE_AWAY = 0.1  # seconds; the pool itself goes on trying to connect


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if not self.pool:
            return super().get_new_connection(conn_params)
        for turn in range(TURNS):
            try:
                connection = super().get_new_connection(conn_params)
            except PoolTimeout:
                if self.pool.timeout == WHILE_AWAY:
                    raise
                if not self._answers(conn_params):
                    self.pool.timeout = WHILE_AWAY
                    raise
                if turn == TURNS - 1:  # it is there, and all connections are in use
                    raise
            else:
                self.pool.timeout = TURN
                return connection
        raise AssertionError("unreachable")

    def _answers(self, conn_params: dict[str, Any]) -> bool:
        try:
            self.Database.connect(**{**conn_params, "connect_timeout": 1}).close()
        except OperationalError:
            return False
        return True
