"""Test that the supervisor detects that a web process no longer makes progress."""

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


def test_a_process_with_a_heartbeat_is_up_and_does_not_hang(
    detector: HangDetector, beats: Heartbeat
) -> None:
    was_up = detector.is_up

    beats.beat(threads=True)

    assert (was_up, detector.is_up, detector.hang()) == (False, True, "")


def test_a_blocked_event_loop_counts_as_a_hang(
    detector: HangDetector, beats: Heartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats.beat(threads=True)

    wait(monkeypatch, heartbeat.LOOP_TIMEOUT_SECONDS + 1)

    assert detector.hang() == "its event loop has not run for 16 s"


def test_blocked_threads_count_as_a_hang_although_the_event_loop_runs(
    detector: HangDetector, beats: Heartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats.beat(threads=True)

    wait(monkeypatch, heartbeat.THREADS_TIMEOUT_SECONDS - 1)
    beats.beat(threads=False)
    assert detector.hang() == ""
    wait(monkeypatch, 2)
    beats.beat(threads=False)

    assert "none has been answered" in detector.hang()


def test_a_process_without_a_heartbeat_hangs_after_its_start_timeout(
    detector: HangDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait(monkeypatch, heartbeat.START_TIMEOUT_SECONDS - 1)
    assert detector.hang() == ""

    wait(monkeypatch, 2)

    assert "did not start" in detector.hang()


def test_the_replacement_of_a_hung_process_is_judged_separately(
    detector: HangDetector, process: Process, beats: Heartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats.beat(threads=True)
    wait(monkeypatch, heartbeat.LOOP_TIMEOUT_SECONDS + 1)
    assert detector.hang()

    process.pid, process.started_at = 4712, time.monotonic()

    assert detector.hang() == ""
    assert not detector.is_up


def test_the_heartbeat_of_a_forked_process_is_visible(beats: Heartbeat) -> None:
    child = os.fork()
    if not child:
        beats.beat(threads=True)
        os._exit(0)
    os.waitpid(child, 0)

    assert min(beats.read()) > 0
