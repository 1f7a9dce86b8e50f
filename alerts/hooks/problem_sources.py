"""Register alerts as problems whose references name the affected orders."""

from django.utils import timezone

from alerts.models import SystemAlert
from alerts.queries.causes import onset_of_alert
from alerts.queries.impact import ALERT, describe_alert, references_from_json
from core.lib.app_access import limit
from impact.causes import Onset
from impact.extension_points import Description, Mention, Page, Problem, Watch, problem_source
from impact.references import narrow


def describe(id: int) -> Description | None:
    alert = limit(SystemAlert.objects.visible().select_related("rule").filter(pk=id)).first()
    return describe_alert(alert, now=timezone.now()) if alert else None


def onset(id: int) -> Onset | None:
    alert = limit(SystemAlert.objects.visible().select_related("rule").filter(pk=id)).first()
    return onset_of_alert(alert) if alert else None


@problem_source(
    ALERT,
    describe=describe,
    onset=onset,
    watches=(Watch("alerts_systemalert", ("references",)),),
)
def references_of_alerts(first: int, last: int, limit: int) -> Page:
    alerts = list(SystemAlert.objects.filter(pk__gte=first, pk__lte=last).order_by("pk")[:limit])
    mentions = [
        Mention(Problem(ALERT, alert.pk), reference, alert.last_seen_at)
        for alert in alerts
        for reference in narrow(references_from_json(alert.references))
    ]
    return Page(mentions, alerts[-1].pk + 1 if len(alerts) == limit else None)
