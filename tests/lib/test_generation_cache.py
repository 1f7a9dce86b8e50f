"""Test that a cache with two generations keeps entries in use, and never exceeds its limit."""

from hypothesis import given
from hypothesis import strategies as st

from core.lib.generation_cache import GenerationCache


def test_an_entry_in_use_stays_and_an_unused_one_is_dropped() -> None:
    cache = GenerationCache[int, str](10)
    cache.put(-1, "used")
    cache.put(-2, "unused")

    for number in range(30):
        cache.put(number, "new")
        assert cache.get(-1) == "used"
    assert cache.get(-2) is None


def test_an_entry_of_the_old_generation_is_found_and_becomes_young_again() -> None:
    cache = GenerationCache[int, str](2)
    for number in range(3):
        cache.put(number, str(number))
    assert 0 not in cache.young

    assert cache.get(0) == "0"
    assert 0 in cache.young


def test_heavy_entries_are_not_cached() -> None:
    cache = GenerationCache[str, int](100, weight_of=len, max_entry_weight=5)
    cache.put("short", 1)
    cache.put("too long", 2)

    assert (cache.get("short"), cache.get("too long")) == (1, None)


def test_a_cleared_cache_is_empty() -> None:
    cache = GenerationCache[str, int](100)
    cache.put("a", 1)
    cache.clear()
    assert cache.get("a") is None


@given(st.lists(st.text(max_size=12)))
def test_no_generation_exceeds_its_limit(keys: list[str]) -> None:
    cache = GenerationCache[str, str](30, weight_of=len, max_entry_weight=10)
    for key in keys:
        cache.put(key, key)
        assert cache.get(key) == (key if len(key) <= 10 else None)
        assert sum(map(len, cache.young)) < 30 + 10
