"""Define a database backend that refuses writes while the portal is read-only (core.lib.read_only)."""

from typing import Any

from django.db.backends.sqlite3 import base

from core.lib import read_only


class DatabaseWrapper(base.DatabaseWrapper):
    _write_mode: str | None = None  # The mode of transactions while writes are possible.
    _refuses_writes = False

    def get_connection_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super().get_connection_params()
        self._write_mode, self._refuses_writes = self.transaction_mode, False
        return params

    def create_cursor(self, name: str | None = None) -> Any:
        # Transactions that have begun may finish, so the mode changes only between transactions.
        if not self.in_atomic_block and read_only.is_enforced() != self._refuses_writes:
            self._follow_read_only_mode()
        return super().create_cursor(name)

    def _follow_read_only_mode(self) -> None:
        self._refuses_writes = not self._refuses_writes
        # See https://www.sqlite.org/pragma.html#pragma_query_only.
        self.connection.execute(f"PRAGMA query_only={int(self._refuses_writes)}")
        # In the mode IMMEDIATE, a transaction would wait for the write lock, which the move to PostgreSQL holds.
        self.transaction_mode = "DEFERRED" if self._refuses_writes else self._write_mode
