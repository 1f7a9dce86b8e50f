"""Add sections about uptime and response times to the weekly report."""

from datetime import datetime

from alerts.extension_points import Fact, report_section
from core.lib import formats
from health.models import Component, Series, SeriesKind
from health.queries import latencies, uptime


@report_section("health.uptime", title="Uptime", order=100)
def weekly_uptime(since: datetime, until: datetime) -> list[Fact]:
    components = list(Component.objects.in_use().in_order())
    availability_of = uptime.load_availability(components, until - since, now=until)
    return [
        Fact(component.name, f"{availability.percent:.3f} %")
        for component in components
        if (availability := availability_of.get(component.pk)) and availability.percent is not None
    ]


@report_section("health.response_times", title="Response times", order=200)
def weekly_response_times(since: datetime, until: datetime) -> list[Fact]:
    kinds = [
        (SeriesKind.REQUEST, "Requests"),
        (SeriesKind.FUNCTION, "Functions"),
        (SeriesKind.PAGE, "Page loads"),
    ]
    facts = []
    for kind, label in kinds:
        series = Series.objects.total(kind)
        now = latencies.summarize(series, since, until)
        before = latencies.summarize(series, since - (until - since), since)
        if now.count:
            facts.append(Fact(f"{label}, mean", _ms(now.mean_ms), _ms(before.mean_ms)))
            facts.append(
                Fact(
                    f"{label}, 95th percentile",
                    _ms(now.percentile(0.95)),
                    _ms(before.percentile(0.95)),
                )
            )
    return facts


def _ms(value: float | None) -> str:
    return formats.quantity(value, "ms") if value is not None else ""
