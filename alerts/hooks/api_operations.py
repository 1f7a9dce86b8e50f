"""Describe the alerts API in OpenAPI."""

from typing import Any

from alerts.views.api import ChecksRun
from alerts.views.on_call import NewOverride, OnCallNow, OverrideOut, Overrides, Shifts
from alerts.views.receive import AlertsReceived, PrometheusNotification
from core.lib.openapi import describe

describe(
    "alerts:check-run",
    "POST",
    "Run all health checks and evaluate all alert rules now.",
    notes="The response is sent after all checks and rules have finished, and lists the alerts that"
    " were opened, reopened, raised or resolved. An app can call this operation 6 times per minute.",
    scope="admin",
    answers={200: ChecksRun},
)
for source in ("alertmanager", "grafana"):
    describe(
        f"alerts:receive-{source}",
        "POST",
        f"Receive alerts from {source.capitalize()}, in the format of its webhooks.",
        notes="A firing alert opens an alert, or updates the open alert with the same fingerprint. A"
        " resolved alert resolves the open alert. A repeated call creates no second alert. A call can"
        " contain 1,000 alerts. The response contains the number of alerts for each result.",
        scope="alerts",
        takes=PrometheusNotification,
        answers={200: AlertsReceived},
        refusals={413: "Too many alerts in one call."},
    )
describe(
    "alerts:receive-generic",
    "POST",
    "Receive alerts from any system that can post JSON.",
    notes="The body is an alert, a list of up to 1,000 alerts, or an object that contains them at"
    " the path in the query parameter `each`. The members `title` (required), `key`,"
    " `message`, `severity`, `status`, `url` and `labels` of each alert are read; a query"
    " parameter of the same name gives another path, for example `title=event.name`. Alerts"
    " with the same `key` (by default, the title) are one problem. A status such as"
    " `resolved`, `ok` or `normal` resolves the alert; any other status opens or updates it."
    " A repeated call creates no second alert.",
    scope="alerts",
    takes=dict[str, Any],
    answers={200: AlertsReceived},
    refusals={413: "Too many alerts in one call.", 422: "An alert has no title."},
)
describe(
    "alerts:on-call-now",
    "GET",
    "Return who is on call in each schedule.",
    notes="Use this to show or notify the person on call in other tools. `person` is null in a gap, in"
    " which no one is on call. `until` is null if the shift ends more than 60 days from now.",
    scope="on-call",
    query={
        "schedule": "The name of a schedule; by default all are returned.",
        "at": "A time with its offset; by default now.",
    },
    answers={200: OnCallNow},
    refusals={404: "There is no schedule with this name.", 422: "The time is not valid."},
)
describe(
    "alerts:on-call-shifts",
    "GET",
    "Return the shifts and gaps of a schedule.",
    notes="The shifts are in order and cover the whole period; a gap has no person. Overrides are included. The"
    " first and the last shift are cut at the ends of the period.",
    scope="on-call",
    query={
        "from": "A time with its offset; by default now.",
        "until": "A time with its offset; by default 14 days after `from`.",
    },
    answers={200: Shifts},
    refusals={
        404: "There is no such schedule.",
        422: "The period is not valid, or longer than 366 days.",
    },
)
describe(
    "alerts:on-call-overrides",
    "GET",
    "List the overrides of a schedule that have not ended.",
    notes="Overrides that start in the future are included. Use the `id` of an override to delete it.",
    scope="on-call",
    answers={200: Overrides},
    refusals={404: "There is no such schedule."},
)
describe(
    "alerts:on-call-overrides",
    "POST",
    "Add an override, so that a person takes over for a time.",
    notes="The person replaces everyone on call in this schedule, or only the person `instead_of`. If"
    " overrides overlap, the one that was added last applies. A repeated call adds a second"
    " override with the same effect.",
    scope="on-call",
    takes=NewOverride,
    answers={201: OverrideOut},
    refusals={404: "There is no such schedule."},
)
describe(
    "alerts:on-call-override",
    "DELETE",
    "Delete an override.",
    notes="The rotations of the schedule, and other overrides, apply again from now on.",
    scope="on-call",
    answers={204: None},
    refusals={404: "There is no such override."},
)
