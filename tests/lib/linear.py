"""Check that a function takes linear time, by a ratio of CPU times that does not depend on the machine's load."""

import time
from collections.abc import Callable

# Repetitions of these texts could cause backtracking in patterns for names, addresses, keys, times and code.
UNITS = (
    "a", "@", "a@", "1 ", "1.", ":", "a:", "password=", "://a:", "-----BEGIN PRIVATE KEY-----", "bearer ", "a.b@",
    "password", "eyJ", "eyJaaaaaaaa.", "eyJ4-", "ops_-", "ghp_-", "xoxb-", "AIza-", "4", "4 ", "4-", "0:", "password\\", "a%40", "1.1.1.", "cookie: ", "cookie'",
    "://" + "a" * 99 + ":", "access-key", "_secret_", "sk_live_", "\n", "é@", "=", "::", "auth", '"', "'", "'a", "%s",
    "0x", "a-", "0a", "2026-", "2026-11-22T", "-1", ",1", "http://a", "/", "\\", "$1", "$$", "$", "%(", "{}", " ", "\t",
    "lambda$", "block in ", "<", "a b:c", "sentry_key=", "[Filtered]", "basic ", "12:", "aA1-", "x@1.",
)  # fmt: skip
TAILS = ("", "=", "@", ":", "!", '"', "'", "\n", "a", "0", ".", "x@y.zz")


def cost(read: Callable[[str], object], text: str) -> float:
    started = time.thread_time()
    read(text)
    return time.thread_time() - started


def is_linear(read: Callable[[str], object], unit: str, tail: str, length: int) -> bool:
    """Return True if reading four times as much text takes less than nine times as long (quadratic time: sixteen).

    The text consists of repetitions of `unit`, followed by `tail`.
    """
    short, long = (unit * (size // len(unit)) + tail for size in (length, 4 * length))
    least_short = least_long = float("inf")
    for _ in range(6):
        least_short = min(least_short, cost(read, short))
        least_long = min(least_long, cost(read, long))
        # Add a millisecond, because shorter times are below the resolution of the clock.
        if least_long < 9 * least_short + 0.001:
            return True
    return False
