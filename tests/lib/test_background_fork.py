"""Test that forking the process is safe while its background thread runs a chore."""

import os
import threading

from core.lib import background


def test_a_fork_waits_for_the_running_chore_and_inherits_no_lock() -> None:
    held = threading.Lock()
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        with held:
            begun.set()
            go_on.wait(30)

    worker = threading.Thread(target=background._run_chore, args=("slow", slow))
    worker.start()
    begun.wait(30)
    threading.Timer(0.2, go_on.set).start()

    pid = os.fork()
    if pid == 0:
        free = held.acquire(timeout=10) and background._working.acquire(timeout=10)
        os._exit(0 if free else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    worker.join()
