"""Add sections about alerts and the cost of problems to the weekly report."""

from datetime import datetime, timedelta

from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Q

from alerts.extension_points import Fact, Severity, report_section
from alerts.models import Notification, SystemAlert
from alerts.queries.noise import list_noisy_rules
from core.lib import formats
from impact.queries.figures import SHOWN_STATES, describe_state, figures_of
from impact.services.catch_up import catch_up


@report_section("impact", title="Cost of problems", order=160)
def cost_of_the_week(since: datetime, until: datetime) -> list[Fact]:
    """Return the orders that problems affected during the week, by their state at the end of the week."""
    catch_up()
    now = figures_of(None, now=until, since=since, until=until)
    earlier = since - (until - since)
    before = figures_of(None, now=until, since=earlier, until=since)
    if not now and not before:
        return []
    return [
        Fact(
            state.label.capitalize(),
            describe_state(now, state),
            describe_state(before, state),
        )
        for state in SHOWN_STATES
        if state in now.orders or state in before.orders
    ]


def _count_opened(since: datetime, until: datetime) -> dict[str, int]:
    opened = SystemAlert.objects.visible().filter(opened_at__gte=since, opened_at__lt=until)
    counts: dict[str, int] = opened.aggregate(
        all=Count("pk"),
        critical=Count("pk", filter=Q(severity=Severity.CRITICAL)),
    )
    return counts


@report_section("alerts", title="Alerts", order=300)
def alerts_of_the_week(since: datetime, until: datetime) -> list[Fact]:
    now, before = _count_opened(since, until), _count_opened(since - (until - since), since)
    taken = ExpressionWrapper(F("acknowledged_at") - F("opened_at"), output_field=DurationField())
    answer: timedelta | None = SystemAlert.objects.filter(
        acknowledged_at__gte=since, acknowledged_at__lt=until
    ).aggregate(mean=Avg(taken))["mean"]
    undelivered = Notification.objects.failed().filter(created_at__gte=since, created_at__lt=until)
    return [
        Fact("Opened", str(now["all"]), str(before["all"])),
        Fact("Critical", str(now["critical"]), str(before["critical"])),
        Fact("Still active", str(SystemAlert.objects.active().count())),
        Fact("Mean time to acknowledge", formats.span(answer) if answer else "none acknowledged"),
        Fact("Failed messages", str(undelivered.count())),
    ]


@report_section("noise", title="Noisiest rules", order=310)
def noisiest_rules(since: datetime, until: datetime) -> list[Fact]:
    """Return up to five rules that opened the most alerts, with the suggested thresholds, if any."""
    return [Fact(one.rule.problem_name, one.sentence) for one in list_noisy_rules(since)[:5]]
