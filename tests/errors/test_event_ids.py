"""Test that forked processes, which generate event ids without coordination, never generate the same id."""

import os
from datetime import UTC, datetime

from errors.store.ids import next_id

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_forked_processes_generate_different_ids() -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, str(next_id(NOON)).encode())
        os._exit(0)
    os.waitpid(pid, 0)

    assert next_id(NOON) != int(os.read(read, 100))
