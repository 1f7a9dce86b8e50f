"""The registry of metric readers, with which staff create rules on recorded metrics.

Apps declare them in a module named `metric_readers`.
"""

from collections.abc import Callable
from datetime import datetime

from alerts.rules import Measured
from core.lib.registry import Registry

# Takes (the selector that staff entered, since, until), and returns the same as the measure of a rule.
MetricReader = Callable[[str, datetime, datetime], Measured]
registry: Registry[MetricReader] = Registry("metric_readers")


def metric_reader(name: str) -> Callable[[MetricReader], MetricReader]:
    """Register a reader under the name that staff select, such as "performance mean, ms"."""

    def register(reader: MetricReader) -> MetricReader:
        registry.add(name, reader)
        return reader

    return register
