"""How the supervisor finds out that a web process has stopped making progress."""

import os
import time
from dataclasses import dataclass
from typing import cast

import pytest

from core.lib.processes import Child
from opsportal.server import heartbeat
from opsportal.server.heartbeat import HangDetector, Heartbeat


@dataclass
class Process:
    pid: int = 4711
    started_at: float = 0.0


@pytest.fixture
def process() -> Process:
    return Process(started_at=time.monotonic())


@pytest.fixture
def beats() -> Heartbeat:
    return Heartbeat()


@pytest.fixture
def detector(process: Process, beats: Heartbeat) -> HangDetector:
    found = HangDetector(cast(Child, process), beats)
    assert found.hang() == ""
    return found


def wait(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.monotonic() + seconds
    monkeypatch.setattr(time, "monotonic", lambda: now)


def test_a_process_that_beats_is_up_and_does_not_hang(
    detector: HangDetector, beats: Heartbeat
) -> None:
    was_up = detector.is_up

    beats.beat(threads=True)

    assert (was_up, detector.is_up, detector.hang()) == (False, True, "")


def test_an_event_loop_that_stands_still_is_a_hang(
    detector: HangDetector, beats: Heartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats.beat(threads=True)

    wait(monkeypatch, heartbeat.LOOP_TIMEOUT_SECONDS + 1)

    assert detector.hang() == "its event loop has not run for 16 s"


def test_threads_that_stand_still_are_a_hang_although_the_loop_runs(
    detector: HangDetector, beats: Heartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats.beat(threads=True)

    wait(monkeypatch, heartbeat.THREADS_TIMEOUT_SECONDS - 1)
    beats.beat(threads=False)
    assert detector.hang() == ""
    wait(monkeypatch, 2)
    beats.beat(threads=False)

    assert "none was answered" in detector.hang()


def test_a_process_that_never_beats_hangs_after_its_time_to_start(
    detector: HangDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait(monkeypatch, heartbeat.START_TIMEOUT_SECONDS - 1)
    assert detector.hang() == ""

    wait(monkeypatch, 2)

    assert "did not start" in detector.hang()


def test_the_process_that_replaces_a_hung_one_starts_afresh(
    detector: HangDetector, process: Process, beats: Heartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats.beat(threads=True)
    wait(monkeypatch, heartbeat.LOOP_TIMEOUT_SECONDS + 1)
    assert detector.hang()

    process.pid, process.started_at = 4712, time.monotonic()

    assert detector.hang() == ""
    assert not detector.is_up


def test_beats_of_a_forked_process_are_seen(beats: Heartbeat) -> None:
    child = os.fork()
    if not child:
        beats.beat(threads=True)
        os._exit(0)
    os.waitpid(child, 0)

    assert min(beats.read()) > 0
