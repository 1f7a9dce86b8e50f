"""Whether a web server answers, found out by somebody who must not wait."""

import socket
import time

from opsportal.jobs.liveness import Probe

from tests.servers import process
from tests.servers.fake_http import FakeHTTP


def outcome(probe: Probe) -> bool:
    while (answered := probe.outcome()) is None:
        time.sleep(0.01)
    return answered


def test_any_answer_is_one(fake: FakeHTTP) -> None:
    port = int(fake.url.rpartition(":")[2])
    fake.answer(status=500)
    fake.drop()

    assert outcome(Probe("127.0.0.1", port, timeout=5))
    assert not outcome(Probe("127.0.0.1", port, timeout=5))


def test_where_nobody_listens_there_is_none() -> None:
    assert not outcome(Probe("127.0.0.1", process.free_port(), timeout=5))


def test_who_hangs_has_failed_when_the_time_is_up_and_asking_never_waits() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listens_only:
        begun = time.monotonic()
        probe = Probe("127.0.0.1", listens_only.getsockname()[1], timeout=0.2)
        assert probe.outcome() is None
        assert time.monotonic() - begun < 0.1

        assert not outcome(probe)
        assert time.monotonic() - begun >= 0.2
