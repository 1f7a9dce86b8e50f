"""Test that no client exceeds a limit, that memory stays bounded, and that an unavailable Redis costs little time."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from django_redis.cache import RedisCache
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from core.lib import memory_limits, ratelimit, redis_link
from core.lib.memory_limits import MemoryLimiter
from tests.lib.loopback import free_port, hang, serving
from tests.servers.redis_server import RedisServer


@pytest.fixture(autouse=True)
def reset_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(redis_link, "gate", redis_link.Gate())
    ratelimit.memory.clear()
    yield
    ratelimit.memory.clear()


class TestMemory:
    def test_requests_over_the_limit_are_refused(self) -> None:
        memory = MemoryLimiter()
        decisions = [memory.acquire("k", 3, 60) for _ in range(5)]

        assert [decision.allowed for decision in decisions] == [True, True, True, False, False]
        assert [decision.remaining for decision in decisions] == [2, 1, 0, 0, 0]
        assert decisions[0].retry_after == 0
        assert decisions[4].retry_after == pytest.approx(60, abs=1)
        assert decisions[4].reset_at == pytest.approx(time.time() + 60, abs=1)

    def test_keys_have_separate_counts(self) -> None:
        memory = MemoryLimiter()
        assert memory.acquire("a", 1, 60).allowed
        assert memory.acquire("b", 1, 60).allowed

    def test_a_limit_of_zero_allows_no_request(self) -> None:
        decision = MemoryLimiter().acquire("k", 0, 60)
        assert not decision.allowed
        assert decision.retry_after == 60

    def test_cost_counts_as_several_hits(self) -> None:
        memory = MemoryLimiter()
        assert memory.acquire("k", 10, 60, cost=8).remaining == 2
        assert not memory.acquire("k", 10, 60, cost=3).allowed
        assert memory.acquire("k", 10, 60, cost=2).allowed

    @given(
        limit=st.sampled_from([1, 2, 5, 1_500]),
        steps=st.lists(
            st.tuples(st.floats(0, 12), st.sampled_from([1, 1, 1, 300])), min_size=1, max_size=60
        ),
    )
    @hypothesis_settings(max_examples=150, deadline=None)
    def test_no_window_ever_contains_more_hits_than_the_limit(
        self, limit: int, steps: list[tuple[float, int]]
    ) -> None:
        clock = 1000.0
        memory = MemoryLimiter()
        taken: list[tuple[float, int]] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(memory_limits.time, "monotonic", lambda: clock)  # type: ignore[attr-defined]
            for wait, cost in steps:
                clock += wait
                if memory.acquire("k", limit, 10, cost).allowed:
                    taken.append((clock, cost))

        for began, _ in taken:
            in_window = sum(cost for at, cost in taken if began <= at < began + 10)
            assert in_window <= limit

    def test_sixteen_threads_get_exactly_the_limit(self) -> None:
        memory = MemoryLimiter()
        start = threading.Barrier(16)

        def hammer(_: int) -> int:
            start.wait()
            return sum(memory.acquire("k", 100, 60).allowed for _ in range(50))

        with ThreadPoolExecutor(16) as pool:
            assert sum(pool.map(hammer, range(16))) == 100

    def test_a_flood_of_keys_uses_bounded_memory_and_evicts_no_key_in_use(self) -> None:
        memory = MemoryLimiter(max_keys=1_000)
        for n in range(20_000):
            memory.acquire(f"rotating {n}", 5, 60)
            if n % 100 == 0:
                memory.acquire("steady", 5, 60)

        assert len(memory) <= 1_000
        assert not memory.acquire("steady", 5, 60).allowed

    def test_expired_keys_are_evicted_first(self) -> None:
        memory = MemoryLimiter(max_keys=10)
        memory.acquire("long", 1, 60)
        for n in range(9):
            memory.acquire(f"short {n}", 1, 0.01)
        time.sleep(0.02)
        memory.acquire("new", 1, 60)

        assert len(memory) == 2
        assert not memory.acquire("long", 1, 60).allowed

    def test_a_limit_of_a_million_requests_per_day_needs_few_entries(self) -> None:
        memory = MemoryLimiter()
        for _ in range(5_000):
            memory.acquire("k", 1_000_000, 86_400)

        assert len(memory._hits["k"].times) == 1
        assert memory.acquire("k", 1_000_000, 86_400).remaining == 1_000_000 - 5_001


class TestRedisUnavailable:
    def test_a_refused_connection_falls_back_to_memory(self, settings: Settings) -> None:
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
        decisions = [ratelimit.acquire("k", 3, 60) for _ in range(5)]

        assert [decision.allowed for decision in decisions] == [True, True, True, False, False]
        assert ratelimit.is_degraded()

    def test_a_silent_redis_server_is_tried_three_times_and_then_skipped(
        self, settings: Settings
    ) -> None:
        with serving(hang) as black_hole:
            settings.REDIS_URL = f"redis://127.0.0.1:{black_hole.port}/0"
            began = time.monotonic()
            for _ in range(3):
                ratelimit.acquire("k", 100, 60)
            after_three = time.monotonic()
            for _ in range(50):
                ratelimit.acquire("k", 100, 60)

            assert after_three - began < 3 * 0.25 + 1
            assert black_hole.connections == 3
        assert ratelimit.is_degraded()

    def test_only_one_call_retries_after_the_interval(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_link, "RETRY_INTERVAL_SECONDS", 0.3)
        with serving(hang) as black_hole:
            settings.REDIS_URL = f"redis://127.0.0.1:{black_hole.port}/0"
            for _ in range(3):
                ratelimit.acquire("k", 100, 60)
            time.sleep(0.35)
            # Prevent a second retry, however long the calls take.
            monkeypatch.setattr(redis_link, "RETRY_INTERVAL_SECONDS", 60)
            for _ in range(20):
                ratelimit.acquire("k", 100, 60)

            assert black_hole.connections == 4

    def test_the_cache_also_skips_a_silent_redis(self) -> None:
        with serving(hang) as black_hole:
            cache = RedisCache(
                f"redis://127.0.0.1:{black_hole.port}/0",
                {
                    "OPTIONS": {
                        "CONNECTION_POOL_KWARGS": redis_link.connection_options("redis://"),
                        "IGNORE_EXCEPTIONS": True,
                    }
                },
            )
            began = time.monotonic()
            for _ in range(50):
                assert cache.get("key") is None
                cache.set("key", 1)

            assert time.monotonic() - began < 3 * 0.25 + 1
            assert black_hole.connections == 3

    def test_processes_share_the_count_again_after_redis_recovers(
        self, settings: Settings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_link, "RETRY_INTERVAL_SECONDS", 0.1)
        settings.REDIS_URL = redis_server.url()
        assert ratelimit.acquire("k", 100, 60).remaining == 99
        redis_server.kill()
        for _ in range(3):
            assert ratelimit.acquire("k", 100, 60).allowed
        assert ratelimit.is_degraded()

        redis_server.start()
        time.sleep(0.15)

        ratelimit.acquire("k", 100, 60)
        assert not ratelimit.is_degraded()
        with redis.Redis.from_url(redis_server.url()) as client:
            assert client.llen("opsportal:hits:{k}") == 1

    def test_established_connections_to_a_silent_redis_delay_only_three_calls(
        self, settings: Settings, redis_server: RedisServer
    ) -> None:
        settings.REDIS_URL = redis_server.url()
        ratelimit.warm()
        ratelimit.acquire("k", 1_000, 60)
        redis_server.process.send_signal(signal.SIGSTOP)
        try:
            waits = []
            for _ in range(200):
                began = time.monotonic()
                assert ratelimit.acquire("k", 1_000, 60).allowed
                waits.append(time.monotonic() - began)
        finally:
            redis_server.process.send_signal(signal.SIGCONT)

        assert sum(wait > redis_link.TIMEOUT_SECONDS / 2 for wait in waits) == 3

    def test_hits_counted_during_an_outage_are_reported_to_redis(
        self, settings: Settings, redis_server: RedisServer
    ) -> None:
        settings.REDIS_URL = redis_server.url()
        redis_server.kill()
        assert [ratelimit.acquire("k", 10, 60).allowed for _ in range(7)] == [True] * 7
        redis_server.start()

        ratelimit.probe_redis()

        assert ratelimit.acquire("k", 10, 60).remaining == 2
        ratelimit.memory.clear()  # Simulate another process, which has no counts in its memory.
        assert [ratelimit.acquire("k", 10, 60).allowed for _ in range(4)] == [
            True,
            True,
            False,
            False,
        ]

    def test_data_loss_in_redis_does_not_raise_the_limit_of_a_process(
        self, settings: Settings, redis_server: RedisServer
    ) -> None:
        settings.REDIS_URL = redis_server.url()
        allowed = sum(ratelimit.acquire("k", 10, 60).allowed for _ in range(6))
        redis_server.kill()
        allowed += sum(ratelimit.acquire("k", 10, 60).allowed for _ in range(6))
        redis_server.start()
        ratelimit.probe_redis()
        allowed += sum(ratelimit.acquire("k", 10, 60).allowed for _ in range(6))

        assert allowed == 10

    def test_pending_hits_never_exceed_those_in_the_window(
        self, settings: Settings, redis_server: RedisServer
    ) -> None:
        settings.REDIS_URL = redis_server.url()
        redis_server.kill()
        for _ in range(3):
            ratelimit.acquire("k", 2, 0.2)
            ratelimit.acquire("k", 2, 0.2)
            time.sleep(0.21)
        redis_server.start()
        ratelimit.probe_redis()

        assert ratelimit.acquire("k", 2, 0.2).remaining == 1

    def test_requests_do_not_retry_while_the_chore_probes(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_link, "RETRY_INTERVAL_SECONDS", 0.3)
        with serving(hang) as black_hole:
            settings.REDIS_URL = f"redis://127.0.0.1:{black_hole.port}/0"
            for _ in range(3):
                ratelimit.acquire("k", 100, 60)
            time.sleep(0.35)
            ratelimit.probe_redis()
            for _ in range(20):
                ratelimit.acquire("k", 100, 60)

            assert black_hole.connections == 4  # Three calls and one probe.


HAMMER = """
import django, sys
django.setup()
from core.lib import ratelimit, redis_link
print(sum(ratelimit.acquire("k", 100, 60).allowed for _ in range(60)))
"""


class TestRedis:
    def test_hits_refused_in_memory_do_not_reach_redis(
        self, settings: Settings, redis_server: RedisServer
    ) -> None:
        settings.REDIS_URL = redis_server.url()
        for _ in range(3):
            ratelimit.acquire("k", 3, 60)
        with redis.Redis.from_url(redis_server.url()) as client:
            before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
            refused = [ratelimit.acquire("k", 3, 60) for _ in range(50)]
            after = client.info("commandstats")["cmdstat_evalsha"]["calls"]

        assert after == before
        assert not any(decision.allowed for decision in refused)
        assert 0 < refused[0].retry_after <= 60

    def test_redis_and_memory_lead_to_the_same_decisions(
        self, settings: Settings, redis_server: RedisServer
    ) -> None:
        settings.REDIS_URL = redis_server.url()
        memory = MemoryLimiter()
        for limit, window, cost in [(3, 60, 1), (10, 60, 4), (0, 60, 1), (2_000, 60, 300)]:
            for _ in range(8):
                expected = memory.acquire(f"k{limit}", limit, window, cost)
                decision = ratelimit.acquire(f"k{limit}", limit, window, cost=cost)
                assert decision[:3] == expected[:3]
                assert decision.reset_at == pytest.approx(expected.reset_at, abs=0.5)
                assert decision.retry_after == pytest.approx(expected.retry_after, abs=0.5)

    def test_hits_expire_after_the_window(
        self, settings: Settings, redis_server: RedisServer
    ) -> None:
        settings.REDIS_URL = redis_server.url()
        assert [ratelimit.acquire("k", 2, 0.3).allowed for _ in range(3)] == [True, True, False]
        time.sleep(0.32)
        assert [ratelimit.acquire("k", 2, 0.3).allowed for _ in range(3)] == [True, True, False]

    def test_expired_keys_are_removed_from_redis(
        self, settings: Settings, redis_server: RedisServer
    ) -> None:
        settings.REDIS_URL = redis_server.url()
        ratelimit.acquire("k", 2, 0.1)
        time.sleep(0.15)
        with redis.Redis.from_url(redis_server.url()) as client:
            assert client.keys() == []

    def test_four_processes_share_one_limit(
        self, redis_server: RedisServer, tmp_path: Path
    ) -> None:
        environment = {
            **os.environ,
            "REDIS_URL": redis_server.url(),
            "DATA_DIR": str(tmp_path),
            "DJANGO_SETTINGS_MODULE": "opsportal.settings",
        }
        runs = [
            subprocess.Popen(
                [sys.executable, "-c", HAMMER], env=environment, stdout=subprocess.PIPE, text=True
            )
            for _ in range(4)
        ]
        allowed = [int(run.communicate(timeout=60)[0]) for run in runs]

        assert sum(allowed) == 100
