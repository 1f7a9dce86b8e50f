"""Measure the CPU time to decode, normalize, scrub and group an event, with and without `errors.event.frame_cache`.

    python -m bench.build_event --rounds 40

The events are those of `bench.ingest_load`. With `--variants 40`, breadcrumbs and local variables repeat less often.
"""

import argparse
import random
import statistics
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

from bench.ingest_load.events import make_pool
from bench.ingest_load.requests import zipf_cdf
from bench.set_up import set_up_django

set_up_django()

from core.lib.scrub import Scrubber  # noqa: E402
from errors.event import json_codec  # noqa: E402
from errors.event.build import IngestContext, build_event, build_event_from_json  # noqa: E402
from errors.event.new_event import NewEvent  # noqa: E402

GROUPS = 200
BATCH = 200
SCRUBBER = Scrubber()


def with_cache(payload: bytes, context: IngestContext) -> NewEvent:
    return build_event_from_json(payload, app_id=1, scrubber=SCRUBBER, context=context)


def without_cache(payload: bytes, context: IngestContext) -> NewEvent:
    raw = json_codec.decode(payload)
    return build_event(raw, app_id=1, scrubber=SCRUBBER, context=context, size=len(payload))


def cost_us(way: Callable[[bytes, IngestContext], NewEvent], payloads: list[bytes]) -> float:
    context = IngestContext(received_at=datetime.now(UTC))
    started = time.process_time()
    for payload in payloads:
        way(payload, context)
    return (time.process_time() - started) / len(payloads) * 1e6


def compare(size: str, variants: int, rounds: int) -> None:
    pool, weights = make_pool(GROUPS, size, variants, 1), zipf_cdf(GROUPS, 1.1)

    def batch() -> list[bytes]:
        bodies = random.choices(pool, cum_weights=weights, k=BATCH)
        opening = '{"event_id":"%s","timestamp":"%s","user":{"id":"%d"},'
        return [
            (opening % (uuid.uuid4().hex, datetime.now(UTC).isoformat(), random.randrange(5000))).encode()
            + random.choice(variant)
            for variant in bodies
        ]  # fmt: skip

    for _ in range(20):
        cost_us(with_cache, batch())
    pairs = [(cost_us(with_cache, batch()), cost_us(without_cache, batch())) for _ in range(rounds)]
    cached, plain = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{size:8} with {cached:6.0f} µs   without {plain:6.0f} µs   {cached / plain:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--variants", type=int, default=4, help="different bodies of each group")
    options = parser.parse_args()
    for size in ("small", "medium", "large"):
        compare(size, options.variants, options.rounds)


if __name__ == "__main__":
    main()
