"""Describe the endpoints for measurements and heartbeats in OpenAPI; see core.lib.openapi."""

from datetime import datetime

import msgspec

from core.lib.openapi import describe
from health.views.signals import Batch


class BatchAccepted(msgspec.Struct, forbid_unknown_fields=True):
    accepted: int
    duplicate: bool


class CheckInRecorded(msgspec.Struct, forbid_unknown_fields=True):
    status: str
    check_in_id: str
    next_expected: datetime | None


KEY_NOTE = {"key": "The heartbeat's secret key. No other authentication is needed."}

describe(
    "health:signal-post",
    "POST",
    "Post measurements, deliveries, activity, gauges and counters. A batch is recorded completely or not at all.",
    scope="metrics",
    takes=Batch,
    answers={200: BatchAccepted, 202: BatchAccepted},
    refusals={
        422: "A signal is invalid. `detail` explains why, and `index` is the position of the signal in the batch."
    },
)
for method in ("GET", "HEAD", "POST"):
    describe(
        "health:heartbeat-ping",
        method,
        "Report that a job has finished.",
        answers={200: CheckInRecorded if method != "HEAD" else None},
        path_notes=KEY_NOTE,
        refusals={404: "Unknown heartbeat."},
    )
    describe(
        "health:heartbeat-step",
        method,
        "Report that a job has started (`start`) or failed (`fail`).",
        answers={200: CheckInRecorded if method != "HEAD" else None},
        path_notes={**KEY_NOTE, "step": "`start` or `fail`."},
        refusals={404: "Unknown heartbeat or step."},
    )
