"""Provide psycopg for the database backend, with connections that report a commit as failed if no standby has it.

With synchronous replication, a commit waits until the standby has it. If the wait is canceled, as pg_cancel_backend()
and scripts that end long queries do, PostgreSQL answers as after any commit and only adds a warning. The transaction
then exists on the primary alone: it is lost if another node takes over. Its outcome is unknown, so the client must
repeat it. (A statement_timeout does not apply to a commit.)
"""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import Diagnostic

Result = TypeVar("Result")


class NotReplicated(psycopg.OperationalError):
    """The transaction is committed on the primary, but no standby has confirmed it."""


class NotPrimary(psycopg.OperationalError):
    """The server is read-only: it is a former primary, or not promoted yet. A write may succeed a little later."""


class Connection(psycopg.Connection[Any]):
    _is_unconfirmed = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.add_notice_handler(self._note)

    def _note(self, notice: Diagnostic) -> None:
        # The function's name is the same in every language, unlike the text. It is in PostgreSQL's syncrep.c.
        if notice.source_function == "SyncRepWaitForLSN":
            self._is_unconfirmed = True

    def wait(self, gen: PQGen[Result], *arguments: Any, **options: Any) -> Result:
        """Wait for the answer; all statements and commits go through here. Raises NotReplicated and NotPrimary."""
        self._is_unconfirmed = False
        try:
            result = super().wait(gen, *arguments, **options)
        except psycopg.errors.ReadOnlySqlTransaction as error:
            # psycopg takes it for an internal error, which would be answered with 500 instead of 503.
            raise NotPrimary(str(error)) from error
        if self._is_unconfirmed:
            raise NotReplicated("committed on the primary, but not confirmed by a standby")
        return result


connect = Connection.connect


def __getattr__(name: str) -> Any:
    """Return what else Django's backend uses of psycopg: its exceptions and types."""
    return getattr(psycopg, name)
