"""What is wrong now, in words, worst first: components that fail and alerts that are active."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from alerts import impact
from alerts.impact import References
from alerts.models import SystemAlert
from alerts.rules import Severity
from health.models import Component
from health.verdict import Status
from opsportal.lib import formats

RANK = {"critical": 0, "warning": 1}


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong."""

    tone: str  # "critical" or "warning"
    title: str
    message: str
    since: datetime | None
    url: str = ""


def troubles(components: Iterable[Component], alerts: Iterable[SystemAlert]) -> list[Trouble]:
    """A failing component and the alert about it are one trouble. Alerts below high say nothing about the whole."""
    found = [
        _of_component(c) for c in components if c.status in (Status.UNHEALTHY, Status.DEGRADED)
    ]
    told = {component.alert_key for component in components}
    found += [
        Trouble(
            "critical" if alert.severity == Severity.CRITICAL else "warning",
            alert.title,
            alert.message,
            alert.opened_at,
            alert.get_absolute_url(),
        )
        for alert in alerts
        if alert.key not in told and alert.severity in (Severity.CRITICAL, Severity.HIGH)
    ]
    return sorted(found, key=lambda one: (RANK[one.tone], one.since is None, one.since))


def _of_component(component: Component) -> Trouble:
    is_down = component.status == Status.UNHEALTHY
    return Trouble(
        "critical" if is_down and component.is_required else "warning",
        f"{component.title} is {component.get_status_display().lower()}",
        component.last_message,
        component.since,
    )


def cost(found: Sequence[Trouble], *, now: datetime) -> str:
    """What the worst of it touched, as a sentence: money at risk and seats; "" when nothing is known."""
    since = min((one.since for one in found if one.since and one.tone == "critical"), default=None)
    if since is None:
        return ""
    touched = impact.impact_of(References(since=since, until=now))
    parts = [
        f"{formats.money(amount, currency)} at risk"
        for currency, amount in sorted(touched.amount_at_risk.items())
    ]
    if touched.seats:
        parts.append(f"{touched.seats} seats")
    if touched.touched:
        parts.append(f"{len(touched.touched)} payments and reservations touched")
    return ", ".join(parts)
