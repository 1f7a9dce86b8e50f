"""The registry of Prometheus metrics. An app registers the metrics it exposes at `/metrics` in its `metrics.py`."""

from collections.abc import Callable, Iterable

from prometheus_client.core import Metric

from core.lib.registry import Registry

MetricSource = Callable[[], Iterable[Metric]]
registry: Registry[MetricSource] = Registry("metrics")


def metric_source(name: str) -> Callable[[MetricSource], MetricSource]:
    """Register a function that returns metrics; it runs on each scrape."""

    def register(source: MetricSource) -> MetricSource:
        registry.add(name, source)
        return source

    return register
