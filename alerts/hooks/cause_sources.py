"""Contribute edits of rules, alert types and channels to the possible causes of a problem."""

from collections.abc import Iterator

from impact.causes import Change, Onset
from impact.extension_points import cause_source
from impact.queries.causes import list_edits

MODELS = {
    "alerts.alertrule": "Rule",
    "alerts.alerttype": "Alert type",
    "alerts.channel": "Channel",
}


@cause_source("alerts.settings")
def settings(onset: Onset) -> Iterator[Change]:
    return list_edits(onset, MODELS)
