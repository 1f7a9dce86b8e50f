"""Test that log lines are sent to Better Stack in batches by a background thread, and that logging never blocks."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.lib import log_shipping
from core.lib.outbound import breaker
from tests.lib.loopback import Behavior, Loopback, answer, answers, free_port, hang, serving
from tests.two_runs import in_the_sqlite_run

pytestmark = in_the_sqlite_run


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    breaker.reset_all()
    monkeypatch.setattr(log_shipping, "BATCH_WINDOW_SECONDS", 0.1)
    monkeypatch.setattr(log_shipping, "RETRY_INTERVAL_SECONDS", 0.1)
    yield
    breaker.reset_all()


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
def test_undelivered_lines_are_sent_again(shop: logging.Logger, trouble: Behavior) -> None:
    with serving(answers(trouble, trouble, trouble, answer(202))) as server:
        handler = shipping(shop, server.url)
        shop.info("sold")
        until = time.monotonic() + 30
        while len(server.requests) < 4 and time.monotonic() < until:
            time.sleep(0.02)
        handler.finish()

    assert [line["message"] for line in shipped(server)] == ["sold"] * 4


def test_lines_do_not_accumulate_when_the_token_is_rejected(shop: logging.Logger) -> None:
    with serving(answer(403)) as server:
        handler = shipping(shop, server.url)
        shop.info("sold")
        wait_for(server, 1)
        handler.finish()

    assert handler.dropped == 1
    assert len(server.requests) == 1


def test_logging_does_not_block_during_an_outage_and_dropped_lines_are_counted(
    shop: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_shipping, "MAX_QUEUED", 50)
    with serving(hang) as server:
        handler = shipping(shop, server.url)
        began = time.monotonic()
        for n in range(2_000):
            shop.info("sold", extra={"n": n})
        took = time.monotonic() - began

        assert took < 5  # A wait for the silent server would take longer.
        assert handler.dropped >= 1_000
        handler._stopping.set()


def test_the_number_of_dropped_lines_is_shipped_after_an_outage(
    shop: logging.Logger,
) -> None:
    with serving(answer(202)) as server:
        handler = shipping(shop, server.url)
        handler.dropped = 7
        shop.info("sold")
        lines = wait_for(server, 2)
        handler.finish()

    assert lines[1]["message"] == "log lines were dropped"
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
def test_a_process_exits_even_if_lines_cannot_be_shipped(tmp_path: Path) -> None:
    run_program(f"http://127.0.0.1:{free_port()}", tmp_path)
    with serving(hang) as server:
        run_program(server.url, tmp_path)
