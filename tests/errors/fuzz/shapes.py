"""Generate arbitrary client input: JSON of any shape that often contains names of an event's members.

Hypothesis chooses a seed and a size, and `Maker` generates the value from both. This way is much faster than nested
strategies, and a failing example still shrinks in size. `FUZZ_EXAMPLES` sets the number of examples per test, which is
small in the normal suite.
"""

import json
import os
import random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

IS_LONG = "FUZZ_EXAMPLES" in os.environ
fuzz = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "50")),
    deadline=None,
    database=None,
    derandomize=not IS_LONG,  # The normal suite must be deterministic. A long run tries random examples.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

MEMBERS = (
    "event_id", "timestamp", "platform", "level", "logger", "transaction", "server_name", "release", "dist",
    "environment", "logentry", "message", "exception", "threads", "stacktrace", "breadcrumbs", "user", "request",
    "contexts", "tags", "extra", "modules", "sdk", "fingerprint", "culprit", "debug_meta", "csp", "type", "errors",
    "sentry.interfaces.Exception", "sentry.interfaces.Http", "template", "site", "time_spent", "something_new",
)  # fmt: skip
INNER = (
    "values", "frames", "type", "value", "module", "mechanism", "synthetic", "stacktrace", "filename", "abs_path",
    "function", "context_line", "pre_context", "post_context", "vars", "lineno", "in_app", "platform", "headers", "env",
    "cookies", "query_string", "url", "method", "data", "fragment", "message", "formatted", "params", "category", "level",
    "timestamp", "id", "username", "email", "ip_address", "key", "name", "version", "order_id", "payment_id",
    "request_id", "reservation_id", "organization_id", "function_name", "effective_directive", "blocked_origin",
    "registers", "lang", "thread_id", "current", "crashed", "images", "packages",
)  # fmt: skip
ODD_TEXTS = (
    "", " ", "\0", "a\0b", "\ud800", "é", "😀" * 3, "x" * 600, "x" * 9_000, "%s", "%(a)s", "{}", "%99999999d", "{{ default }}",
    "{{auto}}", "NaN", "1e999", "9" * 400, "2026-11-22T12:00:00Z", "9999-12-31T23:59:59.999999999-23:59", "<anonymous>",
    "[native code]", "javascript", "python", "java", "ruby", "php", "fatal", "error", "\n", "a=b&c=%00", "?x=1&y", "\u2028",
    "0" * 32, "f" * 32, "F" * 8 + "-ffff-ffff-ffff-" + "f" * 12, "[Filtered]", "None", "shop@1.2.0", "1.2.3.4",
)  # fmt: skip
NUMBERS = (0, -1, 1, 7, 2**31, 2**53, 2**63, 2**64, 10**30, 10**400, 4242424242424242, 1.5, -0.0, 1e300, 1e-300,
           float("nan"), float("inf"), 1_790_000_000, 1_790_000_000.5)  # fmt: skip
LETTERS = "abcxyzABC 0123456789 .,:;/\\@%'\"<>(){}[]$#_-+=\t\néßλ中\u200b\u202e😀"
PLATFORMS = ("python", "javascript", "node", "java", "ruby", "php", "other")


class Maker:
    def __init__(self, seed: int, size: int) -> None:
        self.random = random.Random(seed)
        self.left = size

    def text(self) -> str:
        choose = self.random.random()
        if choose < 0.4:
            return self.random.choice(ODD_TEXTS)
        if choose < 0.6:
            return self.random.choice(INNER)
        return "".join(self.random.choices(LETTERS, k=self.random.randrange(30)))

    def leaf(self) -> Any:
        choose = self.random.random()
        if choose < 0.6:
            return self.text()
        if choose < 0.8:
            return self.random.choice(NUMBERS)
        return self.random.choice((None, True, False, [], {}))

    def value(self, depth: int = 0) -> Any:
        self.left -= 1
        choose = self.random.random()
        if self.left <= 0 or depth > 6 or choose < 0.4:
            return self.leaf()
        if choose < 0.65:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return self.members(INNER, self.random.randrange(6), depth + 1)

    def members(self, names: tuple[str, ...], count: int, depth: int = 0) -> dict[str, Any]:
        return {
            self.random.choice(names) if self.random.random() < 0.9 else self.text(): self.value(depth)
            for _ in range(count)
        }  # fmt: skip

    def either(self, proper: Any) -> Any:
        """Return `proper` in four of five cases, and otherwise an arbitrary value."""
        return proper if self.random.random() < 0.8 else self.value()

    def frame(self) -> Any:
        names = ("filename", "function", "module", "context_line")
        frame = {name: self.either(self.text()) for name in names if self.random.random() < 0.7}
        frame |= {"in_app": self.random.random() < 0.5, **self.members(INNER, 2)}
        return self.either(frame)

    def exception(self) -> Any:
        exception = {"type": self.either(self.text()), "value": self.either(self.text())}
        if self.random.random() < 0.7:
            frames = [self.frame() for _ in range(self.random.randrange(4))]
            exception["stacktrace"] = self.either({"frames": self.either(frames)})
        if self.random.random() < 0.3:
            exception |= self.members(("module", "mechanism", "thread_id", "platform"), 2)
        return self.either(exception)

    def event(self) -> dict[str, Any]:
        event = self.members(MEMBERS, self.random.randrange(8))
        if self.random.random() < 0.6:
            event["platform"] = self.either(self.random.choice(PLATFORMS))
            exceptions = [self.exception() for _ in range(self.random.randrange(3))]
            event["exception"] = self.either({"values": self.either(exceptions)})
        return event


_seeds, _sizes = st.integers(0, 2**63), st.integers(0, 40)
values: st.SearchStrategy[Any] = st.builds(lambda seed, size: Maker(seed, size).value(), _seeds, _sizes)  # fmt: skip
events: st.SearchStrategy[dict[str, Any]] = st.builds(lambda seed, size: Maker(seed, size).event(), _seeds, _sizes)  # fmt: skip
texts = st.builds(lambda seed: Maker(seed, 1).text(), _seeds)


def some_of(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for objects with a few of the members `names`."""
    return st.builds(
        lambda seed, size: Maker(seed, size).members(names, 1 + size % 6), _seeds, _sizes
    )


def written(value: Any) -> bytes:
    """Encode `value` as JSON, including NaN, Infinity and lone surrogates, which some clients send."""
    return json.dumps(value).encode()


@st.composite
def broken(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> bytes:
    """Draw a body from `bodies`, and remove, repeat or overwrite a few of its parts."""
    body = draw(bodies)
    chance = random.Random(draw(_seeds))
    for _ in range(chance.randrange(4)):
        start = chance.randrange(len(body) + 1)
        end = min(len(body), start + chance.randrange(20))
        body = body[:start] + chance.randbytes(chance.randrange(6)) + body[end:]
    return body
