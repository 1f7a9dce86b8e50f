"""Run tasks continuously, each in its own thread of a process that runs on every node with workers.

    @continuous
    def deliver(control: Control) -> None:
        while not control.is_stopping:
            ...
            control.report_progress()

Use this for work that must not wait for a free worker, or that would occupy a worker for long, such as calls to slow
services. The worker cluster starts the process, and starts it again if a task ends or reports no progress for
PROGRESS_TIMEOUT_SECONDS.
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from django.db import connections

from core.lib.processes import die_with_parent, set_process_name
from core.lib.registry import Registry

log = logging.getLogger(__name__)

PROGRESS_TIMEOUT_SECONDS = 60.0
MAX_BACKOFF_SECONDS = 30.0
# If the process ran longer than this, it is started again immediately; otherwise the delay grows with each start.
STABLE_SECONDS = 15.0
WATCH_SECONDS = 0.2

Task = Callable[["Control"], None]


@dataclass(frozen=True)
class ContinuousTask:
    name: str  # The dotted path of the function.
    run: Task


registry: Registry[ContinuousTask] = Registry("tasks", package="")


def continuous(function: Task) -> Task:
    """Register a function of an app's `tasks.py`. The function must return soon after `control.is_stopping` is set."""
    name = f"{function.__module__}.{function.__name__}"
    registry.add(name, ContinuousTask(name, function))
    return function


class Control:
    """The object through which the cluster stops a continuous task and monitors its progress."""

    def __init__(self, progress: Any = None, index: int = 0) -> None:
        self.is_stopping = False
        self._progress = progress
        self._index = index

    def report_progress(self) -> None:
        if self._progress is not None:
            self._progress[self._index] = time.monotonic()

    def stop(self) -> None:
        self.is_stopping = True


@dataclass
class ContinuousProcess:
    """The cluster's handle on the process that runs the continuous tasks."""

    tasks: Sequence[ContinuousTask]
    process: BaseProcess | None = None
    started_at: float = 0.0
    # The time.monotonic() value at which the process is started again after a failure.
    start_at: float = 0.0
    failure_count: int = 0
    _progress: Any = field(init=False)

    def __post_init__(self) -> None:
        self._progress = multiprocessing.Array("d", max(len(self.tasks), 1), lock=False)

    def start(self) -> None:
        """Fork the process. The caller must have no threads and no open connections."""
        self.started_at = time.monotonic()
        for index in range(len(self.tasks)):
            self._progress[index] = self.started_at
        fork = multiprocessing.get_context("fork")
        self.process = fork.Process(
            target=_run, args=(self.tasks, self._progress, os.getpid()), daemon=True
        )
        self.process.start()

    def keep_running(self) -> None:
        """Start the process again if it has ended, and kill it if a task hangs. Do nothing before the first start."""
        if self.process is None:
            return
        now = time.monotonic()
        if self.process.is_alive():
            for index, task in enumerate(self.tasks):
                if now - self._progress[index] > PROGRESS_TIMEOUT_SECONDS:
                    log.critical(
                        "a continuous task hangs; its process is killed", extra={"task": task.name}
                    )
                    self.process.kill()
            return
        if not self.start_at:
            is_stable = now - self.started_at >= STABLE_SECONDS
            self.failure_count = 0 if is_stable else self.failure_count + 1
            delay = min(2.0**self.failure_count - 1, MAX_BACKOFF_SECONDS)
            log.critical(
                "the continuous tasks ended; they are started again",
                extra={"exit_code": self.process.exitcode, "delay_s": delay},
            )
            self.start_at = now + delay
        if now >= self.start_at:
            self.start_at = 0.0
            connections.close_all()
            self.start()

    def stop(self) -> None:
        """Make the tasks return after they have finished the work that they have started. Do not wait for them."""
        if self.process is not None and self.process.is_alive():
            self.process.terminate()

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.is_alive()


def _run(tasks: Sequence[ContinuousTask], progress: Any, parent: int) -> None:
    die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        return
    controls = [Control(progress, index) for index in range(len(tasks))]

    def stop(signum: int, frame: FrameType | None) -> None:
        for control in controls:
            control.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_process_name("opsportal loops")
    threads = [
        threading.Thread(target=_run_task, args=(task, control), name=task.name, daemon=True)
        for task, control in zip(tasks, controls, strict=True)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        ended = [thread.name for thread in threads if not thread.is_alive()]
        if ended and not controls[0].is_stopping:
            log.critical("continuous task ended", extra={"tasks": ended})
            # Exit without waiting for the other threads, which may be waiting for a slow outside service.
            os._exit(70)
        time.sleep(WATCH_SECONDS)


def _run_task(task: ContinuousTask, control: Control) -> None:
    try:
        task.run(control)
    except Exception:
        log.exception("continuous task failed", extra={"task": task.name})
