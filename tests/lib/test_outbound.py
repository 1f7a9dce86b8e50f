"""Test outbound calls to loopback servers that are slow, faulty or unavailable, and to private addresses."""

import base64
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.lib import outbound, request_id
from core.lib.outbound import breaker, client
from tests.lib.loopback import (
    Behavior,
    answer,
    answers,
    drip,
    free_port,
    hang,
    hang_up,
    serving,
)
from tests.servers.fake_http import FakeHTTP


@pytest.fixture(autouse=True)
def closed_breakers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    breaker.reset_all()
    monkeypatch.setattr(client, "_MIN_BACKOFF_SECONDS", 0.01)
    yield
    breaker.reset_all()


def state_of(name: str) -> breaker.BreakerState:
    [state] = [state for state in outbound.breaker_states() if state.name == name]
    return state


def test_cookies_of_one_response_are_not_sent_with_other_requests(fake: FakeHTTP) -> None:
    fake.answer(headers={"Set-Cookie": "sid=1; Path=/"})
    for _ in range(2):
        outbound.Client("test").request("GET", fake.url)
    assert [request.headers.get("cookie") for request in fake.requests] == [None, None]


class TestAttempts:
    def test_a_response_is_returned_completely(self) -> None:
        with serving(answer(body=b'{"a": 1}')) as server:
            response = outbound.Client("shop").request("POST", server.url, json={"b": 2})

        assert response.json() == {"a": 1}
        assert server.requests[0].endswith(b'{"b":2}')

    def test_connections_are_reused(self) -> None:
        with serving(answer()) as server:
            shop = outbound.Client("shop")
            for _ in range(3):
                shop.request("GET", server.url)

        assert server.connections == 1

    def test_the_request_id_is_sent(self) -> None:
        with serving(answer()) as server, request_id.use("req-12345678"):
            outbound.Client("shop").request("GET", server.url)

        assert b"x-request-id: req-12345678" in server.requests[0].lower()

    def test_a_user_name_and_password_are_sent_as_basic_authentication(self) -> None:
        with serving(answer()) as server:
            outbound.Client("sms").request("POST", server.url, data={"a": "b"}, auth=("AC1", "pw"))

        assert b"Basic " + base64.b64encode(b"AC1:pw") in server.requests[0]
        assert server.requests[0].endswith(b"a=b")

    @pytest.mark.parametrize("first", [answer(503), answer(429), answer(408), hang_up])
    def test_an_idempotent_call_is_retried(self, first: Behavior) -> None:
        with serving(answers(first, answer(200))) as server:
            response = outbound.Client("shop").request("GET", server.url)

        assert response.status_code == 200
        assert len(server.requests) == 2

    def test_a_post_is_not_retried(self) -> None:
        with serving(answers(answer(503), answer(200))) as server:
            response = outbound.Client("shop").request("POST", server.url)

        assert response.status_code == 503
        assert len(server.requests) == 1

    def test_a_post_with_an_idempotency_key_is_retried(self) -> None:
        with serving(answers(answer(503), answer(200))) as server:
            response = outbound.Client("shop").request(
                "POST", server.url, content=b"body", headers={"Idempotency-Key": "k"}
            )

        assert response.status_code == 200
        assert [request[-4:] for request in server.requests] == [b"body", b"body"]

    def test_the_response_of_the_last_attempt_is_returned(self) -> None:
        with serving(answer(500)) as server:
            response = outbound.Client("shop", attempts=2).request("GET", server.url)

        assert response.status_code == 500
        assert len(server.requests) == 2

    def test_retry_after_is_respected(self) -> None:
        with serving(answers(answer(429, Retry_After="1"), answer())) as server:
            began = time.monotonic()
            response = outbound.Client("shop").request("GET", server.url)

        assert response.status_code == 200
        assert time.monotonic() - began >= 1

    def test_a_retry_after_beyond_the_timeout_is_not_waited_for(self) -> None:
        with serving(answer(429, Retry_After="60")) as server:
            response = outbound.Client("shop").request("GET", server.url)

        assert response.status_code == 429
        assert client.retry_after(response) == 60
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "value",
        [
            "Sat, 01 Jan 2026 00:00:00 +240000000000000",
            "Sat, 01 Jan 99999 00:00:00 GMT",
            "9" * 500,
            "-5",
            "soon",
            "1e9",
        ],
    )
    def test_an_absurd_retry_after_causes_no_error(self, value: str) -> None:
        with serving(answer(429, Retry_After=value)) as server:
            response = outbound.Client("shop", attempts=2, timeout=3).request("GET", server.url)

        assert response.status_code == 429

    def test_redirects_are_returned_and_not_followed(self) -> None:
        with serving(answer(302, Location="http://127.0.0.1:1/")) as server:
            response = outbound.Client("shop").request("GET", server.url)

        assert response.status_code == 302


class TestTrouble:
    def test_a_refused_connection_is_unavailable(self) -> None:
        with pytest.raises(outbound.Unavailable, match="shop: ConnectError"):
            outbound.Client("shop").request("GET", f"http://127.0.0.1:{free_port()}")

    def test_an_unknown_host_is_unavailable(self) -> None:
        with pytest.raises(outbound.Unavailable, match="shop: "):
            outbound.Client("shop", timeout=5).request("GET", "http://no-such-host.invalid/")

    def test_a_request_to_a_silent_server_fails_after_the_read_timeout(self) -> None:
        with (
            serving(hang) as server,
            pytest.raises(outbound.Unavailable, match="timed out"),
        ):
            outbound.Client("shop", read=0.2, attempts=1).request("GET", server.url)

    def test_a_request_fails_after_the_call_timeout_if_the_response_arrives_byte_by_byte(
        self,
    ) -> None:
        began = time.monotonic()
        with (
            serving(drip) as server,
            pytest.raises(outbound.Unavailable, match="timed out"),
        ):
            outbound.Client("shop", timeout=0.5).request("GET", server.url)

        assert time.monotonic() - began < 3  # The whole response would take 10 s.

    def test_a_hanging_name_lookup_times_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        over = threading.Event()

        def look_up(*asked: object, **options: object) -> list[object]:
            over.wait(30)
            return []

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

        with pytest.raises(outbound.Unavailable, match="timed out"):
            outbound.Client("shop", connect=0.2, timeout=0.3).request("GET", "http://slow.example/")
        over.set()

    def test_a_huge_response_is_rejected(self) -> None:
        with serving(answer(body=b"x" * 2000)) as server, pytest.raises(outbound.TooLarge):
            outbound.Client("shop", max_bytes=1000).request("GET", server.url)

    def test_a_small_response_that_decompresses_to_a_huge_one_is_rejected(self) -> None:
        packer = zlib.compressobj(wbits=31)
        bomb = packer.compress(b"\0" * 50_000_000) + packer.flush()
        with (
            serving(answer(body=bomb, Content_Encoding="gzip")) as server,
            pytest.raises(outbound.TooLarge),
        ):
            outbound.Client("shop").request("GET", server.url)

    def test_compressed_responses_are_decompressed(self) -> None:
        packer = zlib.compressobj(wbits=31)
        packed = packer.compress(b"hello") + packer.flush()
        with serving(answer(body=packed, Content_Encoding="gzip")) as server:
            assert outbound.Client("shop").request("GET", server.url).text == "hello"

    @pytest.mark.parametrize(
        ("encoding", "reason"), [("br", "unsupported encoding"), ("gzip", "invalid gzip data")]
    )
    def test_a_response_with_a_wrong_encoding_is_unavailable(
        self, encoding: str, reason: str
    ) -> None:
        with (
            serving(answer(body=b"not packed at all", Content_Encoding=encoding)) as server,
            pytest.raises(outbound.Unavailable, match=reason),
        ):
            outbound.Client("shop", attempts=1).request("GET", server.url)

    @pytest.mark.parametrize("url", ["ftp://x.example/", "http://", "nonsense", "http://[::1"])
    def test_unsupported_urls_are_rejected(self, url: str) -> None:
        with pytest.raises(outbound.ForbiddenAddress):
            outbound.Client("shop").request("GET", url)

    def test_header_injection_is_rejected(self) -> None:
        with serving(answer()) as server, pytest.raises(outbound.Unavailable):
            outbound.Client("shop").request("GET", server.url, headers={"X-A": "1\r\nX-B: 2"})
        assert server.requests == []


class TestBreaker:
    def test_five_failures_open_the_breaker_and_calls_stop(self) -> None:
        with serving(answer(500)) as server:
            shop = outbound.Client("shop", attempts=1)
            for _ in range(5):
                shop.request("GET", server.url)
            with pytest.raises(outbound.Unavailable, match="not called") as refused:
                shop.request("GET", server.url)

        assert len(server.requests) == 5
        assert refused.value.retry_after == pytest.approx(30, abs=2)
        assert state_of("shop").state == "open"

    @pytest.mark.parametrize("status", [400, 402, 404, 429])
    def test_client_errors_do_not_open_the_breaker(self, status: int) -> None:
        with serving(answer(status)) as server:
            shop = outbound.Client("shop", attempts=1)
            for _ in range(8):
                assert shop.request("GET", server.url).status_code == status

        assert state_of("shop").state == "closed"

    def test_failures_far_apart_do_not_open_the_breaker(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(breaker, "FAILURE_WINDOW_SECONDS", 0.05)
        with serving(answer(500)) as server:
            shop = outbound.Client("shop", attempts=1)
            for _ in range(7):
                shop.request("GET", server.url)
                time.sleep(0.02)

        assert state_of("shop").state == "closed"

    def test_a_successful_probe_closes_the_breaker(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(breaker, "OPEN_SECONDS", 0.1)
        with serving(answers(*[answer(500)] * 5, answer(200))) as server:
            shop = outbound.Client("shop", attempts=1)
            for _ in range(5):
                shop.request("GET", server.url)
            time.sleep(0.15)

            assert state_of("shop").state == "half-open"
            assert shop.request("GET", server.url).status_code == 200
        assert state_of("shop").state == "closed"

    def test_a_failed_probe_reopens_the_breaker_and_keeps_the_opening_time(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(breaker, "OPEN_SECONDS", 0.1)
        with serving(answer(500)) as server:
            shop = outbound.Client("shop", attempts=1)
            for _ in range(5):
                shop.request("GET", server.url)
            opened_at = state_of("shop").opened_at
            time.sleep(0.15)
            monkeypatch.setattr(breaker, "OPEN_SECONDS", 30)
            shop.request("GET", server.url)

        assert state_of("shop").state == "open"
        assert state_of("shop").opened_at == opened_at

    def test_of_twenty_concurrent_calls_exactly_one_is_the_probe(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(breaker, "OPEN_SECONDS", 0.1)

        refusals = threading.Semaphore(0)

        def answer_after_the_others(connection: object, request: bytes) -> None:
            for _ in range(19):
                refusals.acquire(timeout=30)
            answer(200)(connection, request)  # type: ignore[arg-type]

        with serving(answers(*[answer(500)] * 5, answer_after_the_others)) as server:
            shop = outbound.Client("shop", attempts=1, read=30, timeout=60)
            for _ in range(5):
                shop.request("GET", server.url)
            time.sleep(0.15)

            def call(_: int) -> str:
                try:
                    return str(shop.request("GET", server.url).status_code)
                except outbound.Unavailable:
                    refusals.release()
                    return "refused"

            with ThreadPoolExecutor(20) as pool:
                outcomes = sorted(pool.map(call, range(20)))

        assert outcomes == ["200"] + ["refused"] * 19
        assert len(server.requests) == 6

    def test_parallel_calls_do_not_wait_for_each_other(self) -> None:
        together = threading.Barrier(8, timeout=30)

        def wait_for_all(connection: object, request: bytes) -> None:
            together.wait()
            answer(200)(connection, request)  # type: ignore[arg-type]

        with serving(wait_for_all) as server:
            shop = outbound.Client("shop", attempts=1, read=30, timeout=60)
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda _: shop.request("GET", server.url), range(8)))

        assert len(server.requests) == 8

    def test_another_process_sees_an_open_breaker(self) -> None:
        mine, others = breaker.Breaker("shop"), breaker.Breaker("shop")
        for _ in range(5):
            mine.record_failure(probe=False)

        with pytest.raises(outbound.Unavailable):
            others.enter()

    def test_a_probe_without_a_result_does_not_block_later_calls(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(breaker, "OPEN_SECONDS", 0.0)
        monkeypatch.setattr(breaker, "PROBE_TIMEOUT_SECONDS", 0.1)
        shop = breaker.Breaker("shop")
        for _ in range(5):
            shop.record_failure(probe=False)

        assert shop.enter() is True
        with pytest.raises(outbound.Unavailable):
            shop.enter()
        time.sleep(0.15)
        assert shop.enter() is True

    def test_a_client_can_work_without_a_breaker(self) -> None:
        with serving(answer(500)) as server:
            check = outbound.Client("check", attempts=1, breaker=False)
            for _ in range(7):
                assert check.request("GET", server.url).status_code == 500

        assert "check" not in [state.name for state in outbound.breaker_states()]
