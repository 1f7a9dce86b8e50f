"""Define marks for tests that need to run in only one of the suite's two runs (SQLite, PostgreSQL with Redis).

These tests start their own servers or use no database. Mark a whole file with `pytestmark = in_the_postgresql_run`.
"""

import pytest
from django.db import connection

in_the_sqlite_run = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="runs in the SQLite run only"
)
in_the_postgresql_run = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="runs in the PostgreSQL run only"
)
