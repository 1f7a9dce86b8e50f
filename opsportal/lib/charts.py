"""Charts as data: axes, units, legend and thresholds, with the table that says the same in words.

`Chart` is drawn by static/opsportal/charts.js; `sparkline` and `meter` are plain SVG and need no script.
SVG attributes instead of styles: the content security policy allows no inline style.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

from opsportal.lib import formats


@dataclass(frozen=True)
class Series:
    """One line, area or set of bars. `tone` colours it by meaning (critical, warning, ok …) instead of by order."""

    label: str
    values: Sequence[float | int | None]
    kind: str = "area"  # "line", "area" or "bars"
    tone: str = ""


@dataclass(frozen=True)
class Threshold:
    value: float
    label: str
    tone: str = "critical"


@dataclass(frozen=True)
class Chart:
    title: str
    times: Sequence[datetime]
    series: Sequence[Series]
    unit: str = ""  # "ms", "bytes", "%", "errors", "/min" …
    thresholds: Sequence[Threshold] = field(default_factory=tuple)
    empty: str = "No data in this time yet."

    @property
    def is_empty(self) -> bool:
        return not any(value is not None for one in self.series for value in one.values)

    def payload(self) -> dict[str, object]:
        """What charts.js reads."""
        return {
            "unit": self.unit,
            "times": [moment.timestamp() for moment in self.times],
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
        }

    def rows(self) -> list[tuple[datetime, list[str]]]:
        """The same figures as table rows, newest first, one text per series."""
        return [
            (moment, [self.text(one.values[place]) for one in self.series])
            for place, moment in reversed(list(enumerate(self.times)))
        ]

    def text(self, value: float | int | None) -> str:
        return formats.quantity(value, self.unit)


def sparkline(
    values: Sequence[float], *, label: str = "", kind: str = "bars", width: int = 120
) -> SafeString:
    """Inline SVG, 28 px high: bars for counts, a line for levels."""
    height = 28
    top = max([*values, 4 if kind == "bars" else 0]) or 1  # a lone event is no peak
    count = max(len(values), 1)
    step = width / count
    if kind == "line":
        points = " ".join(
            f"{(place + 0.5) * step:.1f},{height - 2 - (height - 4) * value / top:.1f}"
            for place, value in enumerate(values)
        )
        shape = format_html('<polyline points="{}"/>', points)
    else:
        # One path for all bars: a list of fifty of these is on every visit to the errors.
        wide = max(step - (1 if step > 3 else 0), 0.5)
        bars = (
            f"M{place * step:.1f} {height - 1}v-{max(2.0, (height - 2) * value / top):.1f}h{wide:.1f}V{height - 1}z"
            for place, value in enumerate(values)
            if value > 0
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
        or f"latest {formats.number(values[-1]) if values else 0}, highest {formats.number(max([*values, 0]))}",
        height - 0.5,
        width,
        shape,
    )


def meter(value: float, limit: float, *, label: str = "", tone: str = "") -> SafeString:
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
