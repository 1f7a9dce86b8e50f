"""Provide psycopg for the database backend, with connections that report a commit as failed if no standby confirms it.

With synchronous replication, a commit waits until the standby confirms it. If this wait is canceled, for example with
pg_cancel_backend() or by a script that ends long queries, PostgreSQL reports success and only adds a warning. The
transaction then exists only on the primary, and is lost if another node takes over. Its outcome is therefore unknown,
and the client must repeat the request. (A statement_timeout does not apply to a commit.)
"""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import Diagnostic

Result = TypeVar("Result")


class NotReplicated(psycopg.OperationalError):
    """The transaction is committed on the primary, but no standby has confirmed it."""


class NotPrimary(psycopg.OperationalError):
    """The server is read-only: it is a former primary, or it is not promoted yet. A write may succeed later."""


class Connection(psycopg.Connection[Any]):
    _is_unconfirmed = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.add_notice_handler(self._note)

    def _note(self, notice: Diagnostic) -> None:
        # The text of the warning depends on the server's language; the function's name, from syncrep.c, does not.
        if notice.source_function == "SyncRepWaitForLSN":
            self._is_unconfirmed = True

    def wait(self, gen: PQGen[Result], *arguments: Any, **options: Any) -> Result:
        """Wait for the server's answer to a statement or commit. psycopg calls this method.

        Raises NotReplicated if no standby has confirmed a commit, and NotPrimary if the server is read-only.
        """
        self._is_unconfirmed = False
        try:
            result = super().wait(gen, *arguments, **options)
        except psycopg.errors.ReadOnlySqlTransaction as error:
            # psycopg raises an internal error here, which views would answer with a 500 instead of a 503.
            raise NotPrimary(str(error)) from error
        if self._is_unconfirmed:
            raise NotReplicated("committed on the primary, but not confirmed by a standby")
        return result


connect = Connection.connect


def __getattr__(name: str) -> Any:
    """Return psycopg's own attribute, such as an exception or type, because Django's backend expects a full driver."""
    return getattr(psycopg, name)
