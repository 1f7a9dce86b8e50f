"""Measurements and heartbeats, described: see opsportal.lib.openapi."""

from datetime import datetime

import msgspec

from health.views.signals import Batch
from opsportal.lib.openapi import describe


class BatchTaken(msgspec.Struct, forbid_unknown_fields=True):
    accepted: int
    duplicate: bool


class CheckedIn(msgspec.Struct, forbid_unknown_fields=True):
    status: str
    check_in_id: str
    next_expected: datetime | None


KEY = {"key": "The heartbeat's own: it is all that is needed."}

describe(
    "health:signal-post",
    "POST",
    "Measurements, deliveries, activity, gauges and counters; all of the batch is counted, or none of it.",
    scope="metrics",
    takes=Batch,
    answers={200: BatchTaken, 202: BatchTaken},
    refusals={422: "`detail` says what is wrong, `index` with which signal."},
)
for method in ("GET", "HEAD", "POST"):
    describe(
        "health:heartbeat-ping",
        method,
        "A job is done.",
        answers={200: CheckedIn if method != "HEAD" else None},
        path_notes=KEY,
        refusals={404: "No such heartbeat."},
    )
    describe(
        "health:heartbeat-step",
        method,
        "A job has begun (`start`) or failed (`fail`).",
        answers={200: CheckedIn if method != "HEAD" else None},
        path_notes={**KEY, "step": "`start` or `fail`."},
        refusals={404: "No such heartbeat, or no such step."},
    )
