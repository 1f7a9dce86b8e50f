"""The registry of Prometheus metrics: `metrics.py` of an app brings figures read when `/metrics` is scraped."""

from collections.abc import Callable, Iterable

from prometheus_client.core import Metric

from opsportal.lib.registry import Registry

MetricSource = Callable[[], Iterable[Metric]]
registry: Registry[MetricSource] = Registry("metrics")


def metric_source(name: str) -> Callable[[MetricSource], MetricSource]:
    def register(source: MetricSource) -> MetricSource:
        registry.add(name, source)
        return source

    return register
