"""Open and resolve alerts that other systems, such as Alertmanager and Grafana, report.

The systems repeat alerts that are still firing. Each repetition is counted as an occurrence of the same alert.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from alerts.extension_points import Severity
from alerts.services.problems import clear_problem, report_problem
from core.clients.models import ClientApp
from core.lib.scrub import scrub_text

# Maps the severities of other systems, in lower case, to the portal's severities.
SEVERITIES = {
    **dict.fromkeys(
        ("critical", "crit", "fatal", "emergency", "page", "disaster", "p1"), Severity.CRITICAL
    ),
    **dict.fromkeys(("high", "error", "major", "alert", "p2"), Severity.HIGH),
    **dict.fromkeys(("warning", "warn", "average", "p3"), Severity.WARNING),
    **dict.fromkeys(("medium", "minor", "low", "p4"), Severity.MEDIUM),
    **dict.fromkeys(("info", "informational", "information", "none", "debug", "p5"), Severity.INFO),
}
SOURCE_NAMES = {"alertmanager": "Alertmanager", "grafana": "Grafana", "generic": "The other system"}
# The portal itself uses labels with these names, so received labels with these names get a prefix.
_RESERVED_LABELS = {"group", "name"}
MAX_LABELS = 50
MAX_TEXT_CHARS = 4_000


@dataclass(frozen=True)
class ReceivedAlert:
    """An alert as the other system describes it. All calls about one alert have the same `key`."""

    key: str
    title: str
    message: str = ""
    severity: str = ""
    is_firing: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Received:
    firing: int = 0
    resolved: int = 0
    # Alerts that were reported as resolved but are not active in the portal.
    unknown: int = 0


def receive(
    received: Iterable[ReceivedAlert], *, app: ClientApp, source: str, now: datetime
) -> Received:
    """Open, update or resolve an alert for each received alert, and return the numbers of these alerts.

    `source` is "alertmanager", "grafana" or "generic".
    """
    counts = Received()
    for one in received:
        key = _key(app, source, one.key)
        if one.is_firing:
            report_problem(
                key=key,
                alert_type=f"received-{source}",
                title=scrub_text(one.title),
                message=scrub_text(one.message)[:MAX_TEXT_CHARS],
                severity=SEVERITIES.get(one.severity.strip().lower(), Severity.WARNING),
                source=f"{app.name}: {source}",
                now=now,
                labels=_labels(one.labels),
                metadata={name: scrub_text(text) for name, text in one.metadata.items() if text},
                app=app,
            )
            counts.firing += 1
        elif clear_problem(
            key=key, now=now, text=f"{SOURCE_NAMES[source]} reported that the problem is resolved"
        ):
            counts.resolved += 1
        else:
            counts.unknown += 1
    return counts


def _key(app: ClientApp, source: str, key: str) -> str:
    digest = hashlib.sha256(key.encode(errors="replace")).hexdigest()[:32]
    return f"received:{app.pk}:{source}:{digest}"


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {
        (f"received_{name}" if name in _RESERVED_LABELS else name)[:100]: scrub_text(value)[:300]
        for name, value in sorted(labels.items())[:MAX_LABELS]
    }
