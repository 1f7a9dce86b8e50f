"""Receive alerts from Alertmanager, Grafana and any system that can post JSON at `/api/v1/alerts/receive/…`.

Alertmanager's format: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config. Grafana sends the same
format with further members: https://grafana.com/docs/grafana/latest/alerting/.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from alerts.services.received import ReceivedAlert, receive
from core.clients.api import api
from core.clients.models import ClientApp, Scope
from core.lib.http import BadRequest, json_response, read_json

MAX_ALERTS = 1_000
_RESOLVED = {
    "resolved",
    "ok",
    "okay",
    "closed",
    "close",
    "up",
    "recovered",
    "normal",
    "inactive",
    "0",
    "false",
}
# The members of a generic alert. A query parameter with the name of a member gives the path to its value.
GENERIC_MEMBERS = ("key", "title", "message", "severity", "status", "url", "labels")


class PrometheusAlert(msgspec.Struct):
    status: str
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    fingerprint: str = ""
    generatorURL: str = ""
    dashboardURL: str = ""
    panelURL: str = ""


class PrometheusNotification(msgspec.Struct):
    alerts: list[PrometheusAlert]
    receiver: str = ""
    groupLabels: dict[str, str] = {}


class AlertsReceived(msgspec.Struct):
    firing: int
    resolved: int
    # Alerts that were reported as resolved but are not active in the portal.
    unknown: int


@api(Scope.ALERTS, "POST")
def alertmanager(request: HttpRequest, app: ClientApp) -> HttpResponse:
    return _receive_prometheus(request, app, "alertmanager")


@api(Scope.ALERTS, "POST")
def grafana(request: HttpRequest, app: ClientApp) -> HttpResponse:
    return _receive_prometheus(request, app, "grafana")


@api(Scope.ALERTS, "POST")
def generic(request: HttpRequest, app: ClientApp) -> HttpResponse:
    """Receive an alert, or a list of alerts. The parameter `each` is the path to the list within the body."""
    body = read_json(request, Any)
    each = request.GET.get("each", "")
    found = _find(body, each) if each else body
    items = found if isinstance(found, list) else [found]
    paths = {name: request.GET.get(name, name) for name in GENERIC_MEMBERS}
    return _answer(list(_generic_alerts(items, paths)), app, "generic")


def _receive_prometheus(request: HttpRequest, app: ClientApp, source: str) -> HttpResponse:
    sent = read_json(request, PrometheusNotification)
    group = ", ".join(f"{name}={value}" for name, value in sorted(sent.groupLabels.items()))
    return _answer([_from_prometheus(one, group) for one in sent.alerts], app, source)


def _from_prometheus(one: PrometheusAlert, group: str) -> ReceivedAlert:
    texts = one.annotations
    name = one.labels.get("alertname", "")
    return ReceivedAlert(
        key=one.fingerprint or repr(sorted(one.labels.items())),
        title=texts.get("summary") or texts.get("title") or name or "Alert without a name",
        message=texts.get("description") or texts.get("message") or "",
        severity=one.labels.get("severity", ""),
        is_firing=one.status != "resolved",
        labels=one.labels,
        metadata={
            "alert group": group,
            "graph": one.panelURL or one.dashboardURL or one.generatorURL,
            "runbook": texts.get("runbook_url", ""),
        },
    )


def _generic_alerts(items: list[Any], paths: dict[str, str]) -> Iterator[ReceivedAlert]:
    for index, item in enumerate(items):
        values = {name: _find(item, path) for name, path in paths.items()}
        title = _text(values["title"])
        if not title:
            raise BadRequest(
                f"alert {index} has no title: there is no text at the path {paths['title']!r}", 422
            )
        labels = values["labels"] if isinstance(values["labels"], dict) else {}
        yield ReceivedAlert(
            key=_text(values["key"]) or title,
            title=title,
            message=_text(values["message"]),
            severity=_text(values["severity"]),
            is_firing=_text(values["status"]).lower() not in _RESOLVED,
            labels={str(name): _text(value) for name, value in labels.items()},
            metadata={"link": _text(values["url"])},
        )


def _find(value: Any, path: str) -> Any:
    """Return the member at a path such as `event.title` or `alerts.0.id`, or None if it does not exist."""
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _text(value: Any) -> str:
    if value is None or isinstance(value, dict | list):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _answer(received: list[ReceivedAlert], app: ClientApp, source: str) -> HttpResponse:
    if len(received) > MAX_ALERTS:
        raise BadRequest(
            f"the call contains {len(received)} alerts; the maximum is {MAX_ALERTS:,}", 413
        )
    counts = receive(received, app=app, source=source, now=timezone.now())
    return json_response(AlertsReceived(counts.firing, counts.resolved, counts.unknown))
