"""Log lines reach Better Stack in batches, in the background, and never in anybody's way."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from opsportal.lib import log_shipping
from opsportal.lib.outbound import breaker
from tests.lib.loopback import Behavior, Loopback, answer, answers, free_port, hang, serving
from tests.two_runs import in_the_sqlite_run

pytestmark = in_the_sqlite_run


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    breaker.forget_all()
    monkeypatch.setattr(log_shipping, "GATHER_FOR", 0.1)
    monkeypatch.setattr(log_shipping, "WAIT_WHEN_AWAY", 0.1)
    yield
    breaker.forget_all()


@pytest.fixture
def shop() -> Iterator[logging.Logger]:
    logger = logging.getLogger("shop")
    logger.setLevel("INFO")
    yield logger
    logger.handlers.clear()
    logger.setLevel("NOTSET")


def shipping(shop: logging.Logger, url: str) -> log_shipping.ShippingHandler:
    handler = log_shipping.ShippingHandler(url, "secret-token")
    shop.addHandler(handler)
    return handler


def shipped(server: Loopback) -> list[dict[str, object]]:
    return [
        line for request in server.requests for line in json.loads(request.split(b"\r\n\r\n")[1])
    ]


def wait_for(server: Loopback, count: int) -> list[dict[str, object]]:
    until = time.monotonic() + 30
    while len(shipped(server)) < count and time.monotonic() < until:
        time.sleep(0.02)
    return shipped(server)


def test_lines_arrive_in_one_batch_with_the_token(shop: logging.Logger) -> None:
    with serving(answer(202)) as server:
        handler = shipping(shop, server.url)
        for n in range(20):
            shop.info("sold", extra={"n": n, "password": "hunter22"})
        lines = wait_for(server, 20)
        handler.finish()

    assert [line["n"] for line in lines] == list(range(20))
    assert lines[0]["message"] == "sold"
    assert lines[0]["dt"] == lines[0]["time"]
    assert b"hunter22" not in server.requests[0]
    assert b"authorization: bearer secret-token" in server.requests[0].lower()
    assert len(server.requests) <= 2


@pytest.mark.parametrize("trouble", [answer(503), answer(429)])
def test_what_did_not_get_through_is_sent_again(shop: logging.Logger, trouble: Behavior) -> None:
    with serving(answers(trouble, trouble, trouble, answer(202))) as server:
        handler = shipping(shop, server.url)
        shop.info("sold")
        until = time.monotonic() + 30
        while len(server.requests) < 4 and time.monotonic() < until:
            time.sleep(0.02)
        handler.finish()

    assert [line["message"] for line in shipped(server)] == ["sold"] * 4


def test_a_refused_token_does_not_pile_up(shop: logging.Logger) -> None:
    with serving(answer(403)) as server:
        handler = shipping(shop, server.url)
        shop.info("sold")
        wait_for(server, 1)
        handler.finish()

    assert handler.dropped == 1
    assert len(server.requests) == 1


def test_nobody_waits_while_it_is_away_and_what_is_dropped_is_counted(
    shop: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_shipping, "MOST_WAITING", 50)
    with serving(hang) as server:
        handler = shipping(shop, server.url)
        began = time.monotonic()
        for n in range(2_000):
            shop.info("sold", extra={"n": n})
        took = time.monotonic() - began

        assert took < 5  # the server hangs for as long as one call may take
        assert handler.dropped >= 1_000
        handler._stopping.set()


def test_how_many_were_dropped_is_shipped_with_the_first_batch_that_gets_through(
    shop: logging.Logger,
) -> None:
    with serving(answer(202)) as server:
        handler = shipping(shop, server.url)
        handler.dropped = 7
        shop.info("sold")
        lines = wait_for(server, 2)
        handler.finish()

    assert lines[1]["message"] == "log lines dropped"
    assert lines[1]["dropped"] == 7
    assert handler.dropped == 0


PROGRAM = """
import django, logging
django.setup()
logging.getLogger("shop").warning("last words")
"""


def run_program(url: str, folder: Path) -> float:
    environment = {
        **os.environ,
        "BETTER_STACK_TOKEN": "secret-token",
        "BETTER_STACK_URL": url,
        "DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "opsportal.settings",
    }
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, timeout=60)
    return time.monotonic() - began


@pytest.mark.slow
def test_a_process_ships_its_last_lines_when_it_ends(tmp_path: Path) -> None:
    with serving(answer(202)) as server:
        run_program(server.url, tmp_path)
        messages = [line["message"] for line in shipped(server)]

    assert "last words" in messages


@pytest.mark.slow
def test_a_process_ends_also_when_nobody_takes_them(tmp_path: Path) -> None:
    run_program(f"http://127.0.0.1:{free_port()}", tmp_path)
    with serving(hang) as server:
        run_program(server.url, tmp_path)
