"""Send notifications to PagerDuty: https://developer.pagerduty.com/docs/events-api-v2-overview"""

from alerts.channels.base import Config, Field, Message, MessageKind, Receipt, Transport, truncate
from alerts.channels.http import is_from_settings, parse_json_object, post

SEVERITIES = {
    "critical": "critical",
    "high": "error",
    "warning": "warning",
    "medium": "warning",
    "info": "info",
}
ACTIONS = {"resolved": "resolve", "acknowledged": "acknowledge"}


def build_event(message: Message, routing_key: str, *, action: str = "") -> dict[str, object]:
    """Build an event whose action follows from the kind of the message, unless `action` is given.

    All messages of one episode have the same dedup key, so PagerDuty creates only one incident for the episode.
    """
    action = action or ACTIONS.get(message.kind, "trigger")
    body: dict[str, object] = {
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": truncate(message.thread or f"opsportal:{message.kind}", 255),
    }
    if action != "trigger":
        return body
    details = {"message": message.text, "runbook": message.runbook, **dict(message.facts)}
    details |= {
        name: text
        for name, text in (("orders", message.impact), ("estimate", message.estimate))
        if text
    }
    body |= {
        "payload": {
            "summary": truncate(message.title, 1024),
            "source": message.source or "opsportal",
            "severity": SEVERITIES.get(message.severity, "error"),
            "timestamp": (message.started_at or message.at).isoformat(),
            "component": message.component,
            "group": message.group,
            "class": message.kind,
            "custom_details": details,
        },
        "client": "opsportal",
    }
    if message.url:
        body |= {
            "client_url": message.url,
            "links": [{"href": message.url, "text": "Open in opsportal"}],
        }
    return body


class PagerDuty(Transport):
    kind = "pagerduty"
    label = "PagerDuty"
    fields = (
        Field("routing_key", "Integration key", is_secret=True, setting="PAGERDUTY_ROUTING_KEY"),
        Field("api_url", "", setting="PAGERDUTY_API_URL", is_shown=False),
    )
    sends_acknowledgments = True
    supports_groups = False
    sends_unannounced_resolutions = False
    max_per_minute = 100

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        url = f"{config['api_url']}/v2/enqueue"
        is_trusted = is_from_settings(config["api_url"], "PAGERDUTY_API_URL")
        event = build_event(message, config["routing_key"])
        response, receipt = post("pagerduty", url, json=event, is_trusted=is_trusted)
        # Resolve the test incident immediately, because PagerDuty would escalate it otherwise.
        if message.kind is MessageKind.TEST:
            end = build_event(message, config["routing_key"], action="resolve")
            post("pagerduty", url, json=end, is_trusted=is_trusted)
        return Receipt(receipt.answer, str(parse_json_object(response).get("dedup_key", "")))
