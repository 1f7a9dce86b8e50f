"""Define the measurements that apps report, one struct per kind.

`POST /api/v1/signals/` accepts them in this format.
"""

from datetime import datetime
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Instant = Annotated[datetime, Meta(tz=True)]
DeliveryOutcome = Literal["sent", "delivered", "failed", "bounced"]
MAX_WEIGHT = 1_000  # Allows apps to measure a sample of 0.1 % of their calls.
DELIVERY_OUTCOMES: tuple[str, ...] = get_args(DeliveryOutcome)


class Performance(msgspec.Struct, tag="performance", frozen=True):
    """A function call, page load or request, or `count` of them with similar durations.

    If an app measures only a sample, each measured call represents `weight` calls.
    """

    name: Name
    duration_ms: Annotated[float, Meta(ge=0, le=86_400_000)]
    kind: Literal["function", "page", "request"] = "function"
    ok: bool = True
    count: Count = 1
    at: Instant | None = None
    environment: Annotated[str, Meta(max_length=64)] = ""
    weight: Annotated[int, Meta(ge=1, le=MAX_WEIGHT)] = 1


class Delivery(msgspec.Struct, tag="delivery", frozen=True):
    """The outcome of sending one or more SMS or e-mails."""

    channel: Literal["sms", "email"]
    outcome: DeliveryOutcome
    count: Count = 1
    at: Instant | None = None


class Activity(msgspec.Struct, tag="activity", frozen=True):
    """A report that a user is active. `user` is any stable id. Only a keyed hash of this id is stored, for one day."""

    user: Name
    at: Instant | None = None


class Gauge(msgspec.Struct, tag="gauge", frozen=True):
    """A level that rises and falls, such as a credit balance or the length of a queue. The latest value applies."""

    name: Name
    value: float
    at: Instant | None = None


class Counter(msgspec.Struct, tag="counter", frozen=True):
    """An increment of a counter, such as failed provisions or bytes sent."""

    name: Name
    value: Annotated[float, Meta(ge=0)] = 1
    at: Instant | None = None


Measurement = Performance | Delivery | Activity | Gauge | Counter
