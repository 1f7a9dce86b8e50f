"""Build the data of charts (axes, units, legend, thresholds), and a table with the same content.

opsportal/static/opsportal/charts.js draws a `Chart`. `sparkline` and `meter` return plain SVG and need no script; they
use SVG attributes because the content security policy forbids inline styles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from django.utils.html import format_html
from django.utils.safestring import SafeString

from core.lib import formats

SeriesKind = Literal["line", "area", "bars"]
SparklineKind = Literal["line", "bars"]


@dataclass(frozen=True)
class Series:
    """A line, an area or a set of bars.

    If `tone` is "critical", "warning" or "ok", the color depends on it instead of on the position of the series.
    """

    label: str
    values: Sequence[float | int | None]
    kind: SeriesKind = "area"
    tone: str = ""


@dataclass(frozen=True)
class Threshold:
    value: float
    label: str
    tone: str = "critical"


@dataclass(frozen=True)
class Mark:
    """An event at a point in time or during a period, which a chart shows as a vertical line or a band."""

    at: datetime
    kind: str  # A word such as "Deploy" or "Alert".
    label: str
    until: datetime | None = None
    tone: str = ""  # The same tones as for a Series; "" is neutral.
    url: str = ""


@dataclass(frozen=True)
class Chart:
    title: str
    times: Sequence[datetime]
    series: Sequence[Series]
    unit: str = ""  # A unit such as "ms", "bytes", "%", "errors" or "/min".
    thresholds: Sequence[Threshold] = field(default_factory=tuple)
    empty: str = "No data for this period yet."
    # Charts with the same `group` share their pointer: pointing at a time in one chart shows the values of all.
    group: str = ""
    # The range of the x axis; None stands for the range of the data.
    span: tuple[datetime, datetime] | None = None
    marks: Sequence[Mark] = field(default_factory=tuple)
    # The page about a part of the time range. A click, a drag or a link in the table opens it with `since` and `until`.
    interval_url: str = ""

    @property
    def is_empty(self) -> bool:
        return not any(value is not None for one in self.series for value in one.values)

    def payload(self) -> dict[str, object]:
        """Return the JSON data for charts.js."""
        return {
            "title": self.title,
            "unit": self.unit,
            "times": [time.timestamp() for time in self.times],
            "series": [
                {
                    "label": one.label,
                    "values": list(one.values),
                    "kind": one.kind,
                    "tone": one.tone,
                }
                for one in self.series
            ],
            "thresholds": [
                {"value": line.value, "label": line.label, "tone": line.tone}
                for line in self.thresholds
            ],
            "group": self.group,
            "span": [time.timestamp() for time in self.span or ()],
            "marks": [
                {
                    "at": mark.at.timestamp(),
                    "until": mark.until.timestamp() if mark.until else None,
                    "label": f"{mark.kind}: {mark.label}",
                    "tone": mark.tone,
                }
                for mark in self.marks
            ],
            "intervalUrl": self.interval_url,
        }

    @property
    def end(self) -> datetime:
        """Return the end of the last time slot."""
        step = self.times[1] - self.times[0] if len(self.times) > 1 else timedelta(hours=1)
        return self.times[-1] + step

    def interval_link(self, index: int) -> str:
        """Return the URL of the page about the slot with this index, or "" without `interval_url`."""
        if not self.interval_url:
            return ""
        until = self.times[index + 1] if index + 1 < len(self.times) else self.end
        return f"{self.interval_url}?since={self.times[index].timestamp():.0f}&until={until.timestamp():.0f}"

    def rows(self) -> list[tuple[datetime, list[str]]]:
        """Return the values as table rows with the newest first, and one string per series."""
        return [
            (time, [self.text(one.values[index]) for one in self.series])
            for index, time in reversed(list(enumerate(self.times)))
        ]

    def text(self, value: float | int | None) -> str:
        return formats.quantity(value, self.unit)


def sparkline(
    values: Sequence[float | None],
    *,
    label: str = "",
    kind: SparklineKind = "bars",
    width: int = 120,
) -> SafeString:
    """Return an inline SVG, 28 px high. Use `kind` "bars" for counts and "line" for levels.

    Where a value is None, a line has a gap.
    """
    height = 28
    known = [value for value in values if value is not None]
    # Scale to at least 4 items, so that a single event does not look like a peak.
    top = max([*known, 4 if kind == "bars" else 0]) or 1
    count = max(len(values), 1)
    step = width / count
    if kind == "line":
        line, is_drawing = "", False
        for index, value in enumerate(values):
            if value is not None:
                y = height - 2 - (height - 4) * value / top
                line += f"{'L' if is_drawing else 'M'}{(index + 0.5) * step:.1f} {y:.1f}"
            is_drawing = value is not None
        shape = format_html('<path d="{}"/>', line)
    else:
        # All bars are one path, because a page with fifty sparklines would otherwise be large.
        bar_width = max(step - (1 if step > 3 else 0), 0.5)
        bars = (
            f"M{index * step:.1f} {height - 1}v-{max(2.0, (height - 2) * value / top):.1f}h{bar_width:.1f}V{height - 1}z"
            for index, value in enumerate(values)
            if value is not None and value > 0
        )
        shape = format_html('<path d="{}"/>', "".join(bars))
    return format_html(
        '<svg class="spark spark--{}" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}"'
        ' preserveAspectRatio="none"><path class="spark__base" d="M0 {}H{}"/>{}</svg>',
        kind,
        width,
        height,
        width,
        height,
        label
        or f"latest {formats.number(known[-1]) if known else 0}, highest {formats.number(max([*known, 0]))}",
        height - 0.5,
        width,
        shape,
    )


def meter(value: float, limit: float, *, label: str = "", tone: str = "") -> SafeString:
    """Return a bar that shows `value` as a share of `limit`.

    Unless `tone` is given, the color shows a warning from 80 % and a critical state from 100 %.
    """
    share = max(0.0, min(1.0, value / limit)) if limit else 0.0
    if not tone:
        tone = "critical" if share >= 1 else "warning" if share >= 0.8 else "accent"
    return format_html(
        '<svg class="meter meter--{}" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect width="{}" height="8"/></svg>',
        tone,
        label or f"{share:.0%} used",
        f"{share * 100:.1f}",
    )
