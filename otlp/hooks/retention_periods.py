"""Declare the retention period of the last reported values of OpenTelemetry sums."""

from collections.abc import Iterator

from core.lib.retention import Kept, keeps
from otlp.sums import SUM_RETENTION


@keeps("otlp")
def kept() -> Iterator[Kept]:
    yield Kept("Last values of OpenTelemetry sums", SUM_RETENTION)
