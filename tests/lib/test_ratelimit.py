"""An adversary never gets more than the limit in any window; memory stays bounded; Redis away costs little."""

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

from opsportal.lib import ratelimit, redis_link
from tests.lib.loopback import free_port, hang, serving
from tests.servers.redis_server import RedisServer


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(redis_link, "gate", redis_link.Gate())
    ratelimit.memory.clear()
    yield
    ratelimit.memory.clear()


class TestMemory:
    def test_the_limit_is_the_limit(self) -> None:
        memory = ratelimit.Memory()
        verdicts = [memory.hit("k", 3, 60) for _ in range(5)]

        assert [verdict.allowed for verdict in verdicts] == [True, True, True, False, False]
        assert [verdict.remaining for verdict in verdicts] == [2, 1, 0, 0, 0]
        assert verdicts[0].retry_after == 0
        assert verdicts[4].retry_after == pytest.approx(60, abs=1)
        assert verdicts[4].reset_at == pytest.approx(time.time() + 60, abs=1)

    def test_keys_do_not_share(self) -> None:
        memory = ratelimit.Memory()
        assert memory.hit("a", 1, 60).allowed
        assert memory.hit("b", 1, 60).allowed

    def test_nothing_is_allowed_under_a_limit_of_zero(self) -> None:
        verdict = ratelimit.Memory().hit("k", 0, 60)
        assert not verdict.allowed
        assert verdict.retry_after == 60

    def test_many_at_once_count_as_many(self) -> None:
        memory = ratelimit.Memory()
        assert memory.hit("k", 10, 60, cost=8).remaining == 2
        assert not memory.hit("k", 10, 60, cost=3).allowed
        assert memory.hit("k", 10, 60, cost=2).allowed

    @given(
        limit=st.sampled_from([1, 2, 5, 1_500]),
        steps=st.lists(
            st.tuples(st.floats(0, 12), st.sampled_from([1, 1, 1, 300])), min_size=1, max_size=60
        ),
    )
    @hypothesis_settings(max_examples=150, deadline=None)
    def test_no_window_ever_holds_more_than_the_limit(
        self, limit: int, steps: list[tuple[float, int]]
    ) -> None:
        clock = 1000.0
        memory = ratelimit.Memory()
        taken: list[tuple[float, int]] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ratelimit.time, "monotonic", lambda: clock)  # type: ignore[attr-defined]
            for wait, cost in steps:
                clock += wait
                if memory.hit("k", limit, 10, cost).allowed:
                    taken.append((clock, cost))

        for began, _ in taken:
            in_window = sum(cost for at, cost in taken if began <= at < began + 10)
            assert in_window <= limit

    def test_sixteen_threads_get_exactly_the_limit(self) -> None:
        memory = ratelimit.Memory()
        start = threading.Barrier(16)

        def hammer(_: int) -> int:
            start.wait()
            return sum(memory.hit("k", 100, 60).allowed for _ in range(50))

        with ThreadPoolExecutor(16) as pool:
            assert sum(pool.map(hammer, range(16))) == 100

    def test_a_flood_of_keys_costs_bounded_memory_and_frees_nobody_in_use(self) -> None:
        memory = ratelimit.Memory(most_keys=1_000)
        for n in range(20_000):
            memory.hit(f"rotating {n}", 5, 60)
            if n % 100 == 0:
                memory.hit("steady", 5, 60)

        assert len(memory) <= 1_000
        assert not memory.hit("steady", 5, 60).allowed

    def test_keys_whose_window_is_over_go_first(self) -> None:
        memory = ratelimit.Memory(most_keys=10)
        memory.hit("long", 1, 60)
        for n in range(9):
            memory.hit(f"short {n}", 1, 0.01)
        time.sleep(0.02)
        memory.hit("new", 1, 60)

        assert len(memory) == 2
        assert not memory.hit("long", 1, 60).allowed

    def test_a_million_a_day_costs_few_entries(self) -> None:
        memory = ratelimit.Memory()
        for _ in range(5_000):
            memory.hit("k", 1_000_000, 86_400)

        assert len(memory._logs["k"].times) == 1
        assert memory.hit("k", 1_000_000, 86_400).remaining == 1_000_000 - 5_001


class TestRedisAway:
    def test_a_refused_connection_falls_back_to_memory(self, settings: Settings) -> None:
        settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
        verdicts = [ratelimit.hit("k", 3, 60) for _ in range(5)]

        assert [verdict.allowed for verdict in verdicts] == [True, True, True, False, False]
        assert ratelimit.degraded()

    def test_a_black_hole_is_asked_three_times_and_then_left_alone(
        self, settings: Settings
    ) -> None:
        with serving(hang) as black_hole:
            settings.REDIS_URL = f"redis://127.0.0.1:{black_hole.port}/0"
            began = time.monotonic()
            for _ in range(3):
                ratelimit.hit("k", 100, 60)
            after_three = time.monotonic()
            for _ in range(50):
                ratelimit.hit("k", 100, 60)

            assert after_three - began < 3 * 0.25 + 1
            assert black_hole.connections == 3
        assert ratelimit.degraded()

    def test_it_is_asked_again_after_a_while_by_one_call(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_link, "AWAY_FOR", 0.3)
        with serving(hang) as black_hole:
            settings.REDIS_URL = f"redis://127.0.0.1:{black_hole.port}/0"
            for _ in range(3):
                ratelimit.hit("k", 100, 60)
            time.sleep(0.35)
            monkeypatch.setattr(redis_link, "AWAY_FOR", 60)  # however long the calls take
            for _ in range(20):
                ratelimit.hit("k", 100, 60)

            assert black_hole.connections == 4

    def test_a_cache_in_a_black_hole_is_left_alone_as_well(self) -> None:
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

    def test_when_it_is_back_all_count_together_again(
        self, settings: Settings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_link, "AWAY_FOR", 0.1)
        settings.REDIS_URL = redis_server.url()
        assert ratelimit.hit("k", 100, 60).remaining == 99
        redis_server.kill()
        for _ in range(3):
            assert ratelimit.hit("k", 100, 60).allowed
        assert ratelimit.degraded()

        redis_server.start()
        time.sleep(0.15)

        ratelimit.hit("k", 100, 60)
        assert not ratelimit.degraded()
        with redis.Redis.from_url(redis_server.url()) as client:
            assert client.llen("opsportal:hits:{k}") == 1

    def test_established_connections_into_a_black_hole_cost_a_few_calls_only(
        self, settings: Settings, redis_server: RedisServer
    ) -> None:
        settings.REDIS_URL = redis_server.url()
        ratelimit.warm()
        ratelimit.hit("k", 1_000, 60)
        redis_server.process.send_signal(signal.SIGSTOP)
        try:
            waits = []
            for _ in range(200):
                began = time.monotonic()
                assert ratelimit.hit("k", 1_000, 60).allowed
                waits.append(time.monotonic() - began)
        finally:
            redis_server.process.send_signal(signal.SIGCONT)

        assert sum(wait > redis_link.TIMEOUT * 0.9 for wait in waits) == 3

    def test_what_a_process_counted_alone_is_told_when_redis_is_back(
        self, settings: Settings, redis_server: RedisServer
    ) -> None:
        settings.REDIS_URL = redis_server.url()
        redis_server.kill()
        assert [ratelimit.hit("k", 10, 60).allowed for _ in range(7)] == [True] * 7
        redis_server.start()

        ratelimit.look_again()

        assert ratelimit.hit("k", 10, 60).remaining == 2
        ratelimit.memory.clear()  # as another process
        assert [ratelimit.hit("k", 10, 60).allowed for _ in range(4)] == [True, True, False, False]

    def test_a_redis_that_forgot_everything_lifts_no_limit_of_a_process(
        self, settings: Settings, redis_server: RedisServer
    ) -> None:
        settings.REDIS_URL = redis_server.url()
        allowed = sum(ratelimit.hit("k", 10, 60).allowed for _ in range(6))
        redis_server.kill()
        allowed += sum(ratelimit.hit("k", 10, 60).allowed for _ in range(6))
        redis_server.start()
        ratelimit.look_again()
        allowed += sum(ratelimit.hit("k", 10, 60).allowed for _ in range(6))

        assert allowed == 10

    def test_what_is_owed_is_never_more_than_the_window_holds(
        self, settings: Settings, redis_server: RedisServer
    ) -> None:
        settings.REDIS_URL = redis_server.url()
        redis_server.kill()
        for _ in range(3):
            ratelimit.hit("k", 2, 0.2)
            ratelimit.hit("k", 2, 0.2)
            time.sleep(0.21)
        redis_server.start()
        ratelimit.look_again()

        assert ratelimit.hit("k", 2, 0.2).remaining == 1

    def test_nobody_asks_again_while_a_chore_looks(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_link, "AWAY_FOR", 0.3)
        with serving(hang) as black_hole:
            settings.REDIS_URL = f"redis://127.0.0.1:{black_hole.port}/0"
            for _ in range(3):
                ratelimit.hit("k", 100, 60)
            time.sleep(0.35)
            monkeypatch.setattr(redis_link, "AWAY_FOR", 60)  # however long the calls take
            ratelimit.look_again()
            for _ in range(20):
                ratelimit.hit("k", 100, 60)

            assert black_hole.connections == 4  # three calls, one look


HAMMER = """
import django, sys
django.setup()
from opsportal.lib import ratelimit, redis_link
print(sum(ratelimit.hit("k", 100, 60).allowed for _ in range(60)))
"""


class TestRedis:
    def test_a_flood_that_is_refused_here_does_not_reach_redis(
        self, settings: Settings, redis_server: RedisServer
    ) -> None:
        settings.REDIS_URL = redis_server.url()
        for _ in range(3):
            ratelimit.hit("k", 3, 60)
        with redis.Redis.from_url(redis_server.url()) as client:
            before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
            refused = [ratelimit.hit("k", 3, 60) for _ in range(50)]
            after = client.info("commandstats")["cmdstat_evalsha"]["calls"]

        assert after == before
        assert not any(verdict.allowed for verdict in refused)
        assert 0 < refused[0].retry_after <= 60

    def test_it_judges_as_memory_does(self, settings: Settings, redis_server: RedisServer) -> None:
        settings.REDIS_URL = redis_server.url()
        memory = ratelimit.Memory()
        for limit, window, cost in [(3, 60, 1), (10, 60, 4), (0, 60, 1), (2_000, 60, 300)]:
            for _ in range(8):
                expected = memory.hit(f"k{limit}", limit, window, cost)
                verdict = ratelimit.hit(f"k{limit}", limit, window, cost=cost)
                assert verdict[:3] == expected[:3]
                assert verdict.reset_at == pytest.approx(expected.reset_at, abs=0.5)
                assert verdict.retry_after == pytest.approx(expected.retry_after, abs=0.5)

    def test_hits_leave_the_window(self, settings: Settings, redis_server: RedisServer) -> None:
        settings.REDIS_URL = redis_server.url()
        assert [ratelimit.hit("k", 2, 2).allowed for _ in range(3)] == [True, True, False]
        time.sleep(2.02)
        assert [ratelimit.hit("k", 2, 2).allowed for _ in range(3)] == [True, True, False]

    def test_nothing_is_left_when_a_window_is_over(
        self, settings: Settings, redis_server: RedisServer
    ) -> None:
        settings.REDIS_URL = redis_server.url()
        ratelimit.hit("k", 2, 0.1)
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
