"""Outbound calls against real servers on loopback that are slow, wrong, gone, greedy or in a private network."""

import base64
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pytest_django.fixtures import Settings

from opsportal.lib import outbound, request_id
from opsportal.lib.outbound import breaker, client, guard
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


@pytest.fixture(autouse=True)
def closed_breakers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    breaker.forget_all()
    monkeypatch.setattr(client, "_FIRST_WAIT", 0.01)
    yield
    breaker.forget_all()


def state_of(name: str) -> breaker.BreakerState:
    [state] = [state for state in outbound.breaker_states() if state.name == name]
    return state


class TestAttempts:
    def test_an_answer_comes_back_whole(self) -> None:
        with serving(answer(body=b'{"a": 1}')) as server:
            response = outbound.Client("shop").request("POST", server.url, json={"b": 2})

        assert response.json() == {"a": 1}
        assert server.requests[0].endswith(b'{"b":2}')

    def test_connections_are_used_again(self) -> None:
        with serving(answer()) as server:
            shop = outbound.Client("shop")
            for _ in range(3):
                shop.request("GET", server.url)

        assert server.connections == 1

    def test_the_request_id_goes_along(self) -> None:
        with serving(answer()) as server, request_id.use("req-12345678"):
            outbound.Client("shop").request("GET", server.url)

        assert b"x-request-id: req-12345678" in server.requests[0].lower()

    def test_a_user_name_and_password_become_basic_authentication(self) -> None:
        with serving(answer()) as server:
            outbound.Client("sms").request("POST", server.url, data={"a": "b"}, auth=("AC1", "pw"))

        assert b"Basic " + base64.b64encode(b"AC1:pw") in server.requests[0]
        assert server.requests[0].endswith(b"a=b")

    @pytest.mark.parametrize("first", [answer(503), answer(429), answer(408), hang_up])
    def test_a_safe_call_is_tried_again(self, first: Behavior) -> None:
        with serving(answers(first, answer(200))) as server:
            response = outbound.Client("shop").request("GET", server.url)

        assert response.status_code == 200
        assert len(server.requests) == 2

    def test_a_post_is_not_repeated(self) -> None:
        with serving(answers(answer(503), answer(200))) as server:
            response = outbound.Client("shop").request("POST", server.url)

        assert response.status_code == 503
        assert len(server.requests) == 1

    def test_a_post_with_a_key_is_repeated(self) -> None:
        with serving(answers(answer(503), answer(200))) as server:
            response = outbound.Client("shop").request(
                "POST", server.url, content=b"body", headers={"Idempotency-Key": "k"}
            )

        assert response.status_code == 200
        assert [request[-4:] for request in server.requests] == [b"body", b"body"]

    def test_the_last_attempts_answer_is_the_answer(self) -> None:
        with serving(answer(500)) as server:
            response = outbound.Client("shop", attempts=2).request("GET", server.url)

        assert response.status_code == 500
        assert len(server.requests) == 2

    def test_a_wait_that_is_asked_for_is_kept(self) -> None:
        with serving(answers(answer(429, Retry_After="1"), answer())) as server:
            began = time.monotonic()
            response = outbound.Client("shop").request("GET", server.url)

        assert response.status_code == 200
        assert time.monotonic() - began >= 1

    def test_a_wait_longer_than_the_call_may_take_is_left_to_the_caller(self) -> None:
        with serving(answer(429, Retry_After="60")) as server:
            response = outbound.Client("shop").request("GET", server.url)

        assert response.status_code == 429
        assert client.retry_after(response) == 60
        assert len(server.requests) == 1

    def test_redirects_are_answers(self) -> None:
        with serving(answer(302, Location="http://127.0.0.1:1/")) as server:
            response = outbound.Client("shop").request("GET", server.url)

        assert response.status_code == 302


class TestTrouble:
    def test_nobody_there(self) -> None:
        with pytest.raises(outbound.Unavailable, match="shop: ConnectError"):
            outbound.Client("shop").request("GET", f"http://127.0.0.1:{free_port()}")

    def test_an_unknown_name(self) -> None:
        with pytest.raises(outbound.Unavailable, match="shop: "):
            outbound.Client("shop", timeout=5).request("GET", "http://no-such-host.invalid/")

    def test_silence_ends_with_the_read_timeout(self) -> None:
        with (
            serving(hang) as server,
            pytest.raises(outbound.Unavailable, match="no answer in time"),
        ):
            outbound.Client("shop", read=0.2, attempts=1).request("GET", server.url)

    def test_a_dripping_answer_ends_with_the_whole_calls_timeout(self) -> None:
        began = time.monotonic()
        with (
            serving(drip) as server,
            pytest.raises(outbound.Unavailable, match="no answer in time"),
        ):
            outbound.Client("shop", timeout=0.5).request("GET", server.url)

        assert time.monotonic() - began < 3  # dripping goes on for 10 s

    def test_a_hanging_name_lookup_ends_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        over = threading.Event()

        def look_up(*asked: object, **options: object) -> list[object]:
            over.wait(30)
            return []

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

        with pytest.raises(outbound.Unavailable, match="no answer in time"):
            outbound.Client("shop", connect=0.2, timeout=0.3).request("GET", "http://slow.example/")
        over.set()

    def test_a_huge_answer_is_refused(self) -> None:
        with serving(answer(body=b"x" * 2000)) as server, pytest.raises(outbound.TooLarge):
            outbound.Client("shop", max_bytes=1000).request("GET", server.url)

    def test_a_small_answer_that_unpacks_to_a_huge_one_is_refused(self) -> None:
        packer = zlib.compressobj(wbits=31)
        bomb = packer.compress(b"\0" * 50_000_000) + packer.flush()
        with (
            serving(answer(body=bomb, Content_Encoding="gzip")) as server,
            pytest.raises(outbound.TooLarge),
        ):
            outbound.Client("shop").request("GET", server.url)

    def test_packed_answers_are_unpacked(self) -> None:
        packer = zlib.compressobj(wbits=31)
        packed = packer.compress(b"hello") + packer.flush()
        with serving(answer(body=packed, Content_Encoding="gzip")) as server:
            assert outbound.Client("shop").request("GET", server.url).text == "hello"

    @pytest.mark.parametrize(
        ("encoding", "reason"), [("br", "not asked for"), ("gzip", "unreadable gzip")]
    )
    def test_an_answer_that_lies_about_its_encoding(self, encoding: str, reason: str) -> None:
        with (
            serving(answer(body=b"not packed at all", Content_Encoding=encoding)) as server,
            pytest.raises(outbound.Unavailable, match=reason),
        ):
            outbound.Client("shop", attempts=1).request("GET", server.url)

    @pytest.mark.parametrize("url", ["ftp://x.example/", "http://", "nonsense", "http://[::1"])
    def test_urls_that_cannot_be_called(self, url: str) -> None:
        with pytest.raises(outbound.ForbiddenAddress):
            outbound.Client("shop").request("GET", url)

    def test_a_header_cannot_carry_another_header(self) -> None:
        with serving(answer()) as server, pytest.raises(outbound.Unavailable):
            outbound.Client("shop").request("GET", server.url, headers={"X-A": "1\r\nX-B: 2"})
        assert server.requests == []


class TestBreaker:
    def test_five_failures_open_it_and_calls_stop(self) -> None:
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
    def test_refusals_do_not_open_it(self, status: int) -> None:
        with serving(answer(status)) as server:
            shop = outbound.Client("shop", attempts=1)
            for _ in range(8):
                assert shop.request("GET", server.url).status_code == status

        assert state_of("shop").state == "closed"

    def test_failures_that_lie_apart_do_not_open_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(breaker, "WITHIN", 0.05)
        with serving(answer(500)) as server:
            shop = outbound.Client("shop", attempts=1)
            for _ in range(7):
                shop.request("GET", server.url)
                time.sleep(0.02)

        assert state_of("shop").state == "closed"

    def test_a_good_probe_closes_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(breaker, "OPEN_FOR", 0.1)
        with serving(answers(*[answer(500)] * 5, answer(200))) as server:
            shop = outbound.Client("shop", attempts=1)
            for _ in range(5):
                shop.request("GET", server.url)
            time.sleep(0.15)

            assert state_of("shop").state == "half-open"
            assert shop.request("GET", server.url).status_code == 200
        assert state_of("shop").state == "closed"

    def test_a_bad_probe_opens_it_again_and_keeps_since_when(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(breaker, "OPEN_FOR", 0.1)
        with serving(answer(500)) as server:
            shop = outbound.Client("shop", attempts=1)
            for _ in range(5):
                shop.request("GET", server.url)
            opened_at = state_of("shop").opened_at
            time.sleep(0.15)
            monkeypatch.setattr(breaker, "OPEN_FOR", 30)
            shop.request("GET", server.url)

        assert state_of("shop").state == "open"
        assert state_of("shop").opened_at == opened_at

    def test_of_twenty_calls_at_once_exactly_one_is_the_probe(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(breaker, "OPEN_FOR", 0.1)

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

    def test_another_process_sees_that_it_is_open(self) -> None:
        mine, others = breaker.Breaker("shop"), breaker.Breaker("shop")
        for _ in range(5):
            mine.failed(probe=False)

        with pytest.raises(outbound.Unavailable):
            others.enter()

    def test_a_probe_that_is_never_heard_of_again_does_not_block_for_ever(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(breaker, "OPEN_FOR", 0.0)
        monkeypatch.setattr(breaker, "PROBE_LEASE", 0.1)
        shop = breaker.Breaker("shop")
        for _ in range(5):
            shop.failed(probe=False)

        assert shop.enter() is True
        with pytest.raises(outbound.Unavailable):
            shop.enter()
        time.sleep(0.15)
        assert shop.enter() is True

    def test_health_checks_can_go_without(self) -> None:
        with serving(answer(500)) as server:
            check = outbound.Client("check", attempts=1, breaker=False)
            for _ in range(7):
                assert check.request("GET", server.url).status_code == 500

        assert "check" not in [state.name for state in outbound.breaker_states()]


class TestGuard:
    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[fec0::1]",
            "[ff02::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "localhost",
        ],
    )
    def test_no_private_address_can_be_entered(self, host: str) -> None:
        with pytest.raises(outbound.ForbiddenAddress):
            outbound.check_public_url(f"http://{host}/")
        with pytest.raises((outbound.ForbiddenAddress, outbound.Unavailable)):
            outbound.Client("hook", attempts=1).request("POST", f"http://{host}/", guard=True)

    @pytest.mark.parametrize("url", ["http://8.8.8.8/", "https://[2606:4700::1111]/x?y=z"])
    def test_public_addresses_can(self, url: str) -> None:
        outbound.check_public_url(url)

    @pytest.mark.parametrize(
        "url",
        [
            "file:///etc/passwd",
            "gopher://8.8.8.8/",
            "http://u:p@8.8.8.8/",
            "http:///x",
            "",
            "http://x:99999/",
        ],
    )
    def test_other_urls_cannot(self, url: str) -> None:
        with pytest.raises(outbound.ForbiddenAddress):
            outbound.check_public_url(url)

    def test_what_the_owner_allows_can_be_called(self, settings: Settings) -> None:
        settings.ALLOW_PRIVATE_URLS = ["127.0.0.0/8"]
        with serving(answer()) as server:
            outbound.check_public_url(server.url)
            response = outbound.Client("hook").request("POST", server.url, guard=True)

        assert response.status_code == 200

    def test_a_name_that_turns_private_after_the_check_is_not_connected_to(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        addresses = iter([["93.184.216.34"], ["127.0.0.1"]])
        monkeypatch.setattr(guard, "resolve", lambda *a, **k: next(addresses))

        with serving(answer()) as server:
            url = f"http://rebinding.example:{server.port}/"
            outbound.check_public_url(url)
            with pytest.raises(outbound.ForbiddenAddress):
                outbound.Client("hook").request("GET", url, guard=True)

        assert server.connections == 0

    def test_one_private_address_among_public_ones_is_enough_to_refuse(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guard, "resolve", lambda *a, **k: ["93.184.216.34", "10.0.0.1"])

        with pytest.raises(outbound.ForbiddenAddress, match=r"10\.0\.0\.1"):
            outbound.check_public_url("http://mixed.example/")

    def test_one_dead_host_does_not_close_the_way_to_others(self, settings: Settings) -> None:
        settings.ALLOW_PRIVATE_URLS = ["127.0.0.1", "localhost"]
        with serving(answer(500)) as dead, serving(answer()) as well:
            hook = outbound.Client("hook", attempts=1)
            for _ in range(5):
                hook.request("GET", dead.url, guard=True)

            other = f"http://localhost:{well.port}/"
            assert hook.request("GET", other, guard=True).status_code == 200
