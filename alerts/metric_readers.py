"""The registry of recorded metrics: `metric_readers.py` of an app lets staff write rules over what it records."""

from collections.abc import Callable
from datetime import datetime

from alerts.rules import Measured
from opsportal.lib.registry import Registry

# (what to read, as staff wrote it; since; until) -> as a rule's measure
MetricReader = Callable[[str, datetime, datetime], Measured]
registry: Registry[MetricReader] = Registry("metric_readers")


def metric_reader(name: str) -> Callable[[MetricReader], MetricReader]:
    """Register a reader under a name that staff choose from, such as "performance mean, ms"."""

    def register(reader: MetricReader) -> MetricReader:
        registry.add(name, reader)
        return reader

    return register
