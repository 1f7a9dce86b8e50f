"""Test alerts that the portal receives from Alertmanager, Grafana, and any program that posts JSON."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from alerts.models import AlertState, SystemAlert
from core.clients import services
from core.clients.models import ClientApp, Scope
from tests.conftest import left_out
from tests.factories import make_app
from tests.servers import process

pytestmark = pytest.mark.django_db


@pytest.fixture
def app() -> ClientApp:
    return make_app("prometheus")


@pytest.fixture
def key(app: ClientApp) -> str:
    _, secret = services.issue_api_key(app=app, label="alerts", scopes=[Scope.ALERTS])
    return secret


def post(client: Client, key: str, source: str, body: object, query: str = "") -> Any:
    return client.post(
        f"/api/v1/alerts/receive/{source}/{query}",
        body if isinstance(body, bytes) else json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {key}"},
    )


def notification(*alerts: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": '{}:{cluster="eu"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "opsportal",
        "groupLabels": {"cluster": "eu"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "alerts": list(alerts),
    }


def disk_full(status: str = "firing", host: str = "db1", **labels: str) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": "DiskFull", "severity": "page", "instance": host, **labels},
        "annotations": {
            "summary": f"Disk of {host} is full",
            "description": "3 % left. Ask ann@shop.example.",
            "runbook_url": "https://wiki.example/disk",
        },
        "startsAt": "2026-11-29T12:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=disk",
        "fingerprint": f"f-{host}",
    }


@pytest.mark.parametrize("source", ["alertmanager", "grafana"])
def test_a_firing_alert_opens_here_once_and_is_resolved_with_its_source(
    client: Client, app: ClientApp, key: str, source: str
) -> None:
    for _ in range(2):
        taken = post(client, key, source, notification(disk_full(), disk_full(host="db2")))
        assert json.loads(taken.content) == {"firing": 2, "resolved": 0, "unknown": 0}
    ended = post(client, key, source, notification(disk_full("resolved", host="db2")))
    assert json.loads(ended.content) == {"firing": 0, "resolved": 1, "unknown": 0}

    active = SystemAlert.objects.active().get()
    resolved = SystemAlert.objects.get(state=AlertState.RESOLVED)
    assert resolved.title == "Disk of db2 is full"
    assert (active.title, active.severity, active.occurrence_count) == (
        "Disk of db1 is full",
        "critical",
        2,
    )
    assert active.message == "3 % left. Ask [Filtered]."
    assert active.alert_type == f"received-{source}"
    assert active.labels["instance"] == "db1"
    assert active.metadata["alert group"] == "cluster=eu"
    assert active.metadata["runbook"] == "https://wiki.example/disk"


def test_the_pages_show_the_names_of_labels_as_words_and_no_separator_without_a_text(
    client: Client, admin_client: Client, key: str
) -> None:
    problem = {"title": "Gate 4 is offline", "key": "g4", "labels": {"grafana_folder": "Gates"}}
    post(client, key, "generic", problem)
    [alert] = SystemAlert.objects.all()

    listed = admin_client.get("/admin/alerts/").content.decode()
    page = admin_client.get(alert.get_absolute_url()).content.decode()
    post(client, key, "generic", {**problem, "status": "resolved"})
    ended = admin_client.get(alert.get_absolute_url()).content.decode()

    [row] = re.findall(r"Gate 4 is offline</a>(.*?)</td>", listed, re.S)
    assert alert.source in row
    assert "·" not in row
    assert "<dt>Grafana folder</dt>" in page
    assert "The other system reported that the problem is resolved" in ended


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("critical", "critical"),
        ("Disaster", "critical"),
        ("error", "high"),
        ("", "warning"),
        ("bogus", "warning"),
        ("minor", "medium"),
        ("none", "info"),
    ],
)
def test_severities_of_other_systems_are_translated(
    client: Client, key: str, theirs: str, ours: str
) -> None:
    post(client, key, "alertmanager", notification(disk_full(severity=theirs)))

    assert SystemAlert.objects.get().severity == ours


def test_received_labels_cannot_imitate_labels_of_the_portal(client: Client, key: str) -> None:
    post(client, key, "alertmanager", notification(disk_full(group="1", name="x")))

    labels = SystemAlert.objects.get().labels
    assert "group" not in labels
    assert labels["received_group"] == "1"


def test_two_apps_do_not_resolve_each_others_alerts(client: Client, key: str) -> None:
    _, other = services.issue_api_key(app=make_app("other"), label="alerts", scopes=[Scope.ALERTS])
    post(client, key, "alertmanager", notification(disk_full()))

    ended = post(client, other, "alertmanager", notification(disk_full("resolved")))

    assert json.loads(ended.content)["unknown"] == 1
    assert SystemAlert.objects.active().count() == 1


def test_any_json_can_be_mapped_with_paths(client: Client, key: str) -> None:
    query = (
        "?each=problems&title=event.name&key=event.id&severity=level&status=event.value"
        "&url=link&message=event.lines.0"
    )
    event = {"name": "Gate 4 is offline", "id": 17, "value": 1, "lines": ["no answer", "twice"]}
    problem = {"event": event, "level": "Disaster", "link": "https://zabbix.example/17"}

    assert post(client, key, "generic", {"problems": [problem]}, query).status_code == 200
    alert = SystemAlert.objects.get()
    assert (alert.title, alert.message, alert.severity) == (
        "Gate 4 is offline",
        "no answer",
        "critical",
    )
    assert alert.metadata["link"] == "https://zabbix.example/17"

    event["value"] = 0
    assert post(client, key, "generic", {"problems": [problem]}, query).status_code == 200
    assert not SystemAlert.objects.active().exists()


@pytest.mark.parametrize(
    ("source", "body", "status"),
    [
        ("generic", {"message": "x"}, 422),
        ("generic", [5], 422),
        ("generic", {"title": ["x"]}, 422),
        ("generic", b"{", 400),
        ("generic", [{"title": "x"}] * 1_001, 413),
        ("alertmanager", {"alerts": "none"}, 422),
        ("alertmanager", {"alerts": [{"status": "firing"}]}, 422),
        ("grafana", b"", 400),
    ],
)
def test_unusable_calls_are_refused_with_a_reason_and_open_no_alert(
    client: Client, key: str, source: str, body: object, status: int
) -> None:
    refused = post(client, key, source, body)

    assert refused.status_code == status
    assert json.loads(refused.content)["detail"]
    assert not SystemAlert.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_real_alertmanager_opens_and_resolves_an_alert(
    live_server: LiveServer, key: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        left_out(
            request.config, "Alertmanager did not run: install Debian's prometheus-alertmanager"
        )
        pytest.skip("no alertmanager")
    config = tmp_path / "alertmanager.yml"
    config.write_text(
        "route: {receiver: opsportal, group_by: [cluster], group_wait: 100ms, group_interval: 1s}\n"
        "receivers:\n"
        "- name: opsportal\n"
        "  webhook_configs:\n"
        f"  - url: {live_server.url}/api/v1/alerts/receive/alertmanager/\n"
        f"    http_config: {{authorization: {{credentials: {key}}}}}\n"
    )
    port, log = process.free_port(), tmp_path / "alertmanager.log"
    running = process.spawn(
        [
            *(program, "--config.file", config, "--storage.path", tmp_path / "data"),
            *("--web.listen-address", f"127.0.0.1:{port}", "--cluster.listen-address="),
        ],
        log=log,
    )
    api = f"http://127.0.0.1:{port}/api/v2"

    def is_ready() -> bool:
        try:
            return httpx.get(f"{api}/status").status_code == 200
        except httpx.TransportError:
            return False

    def send(**fields: str) -> None:
        labels = {"alertname": "DiskFull", "severity": "critical", "cluster": "eu"}
        sent = {"labels": labels, "annotations": {"summary": "Disk is full"}, **fields}
        assert httpx.post(f"{api}/alerts", json=[sent]).status_code == 200

    try:
        process.wait_until(is_ready, process=running, log=log, what="Alertmanager")
        send()
        process.wait_until(SystemAlert.objects.active().exists, log=log, what="the alert")
        alert = SystemAlert.objects.get()
        assert (alert.title, alert.metadata["alert group"]) == ("Disk is full", "cluster=eu")

        send(startsAt="2026-01-01T00:00:00Z", endsAt="2026-01-02T00:00:00Z")
        process.wait_until(
            lambda: not SystemAlert.objects.active().exists(), log=log, what="the end of the alert"
        )
    finally:
        process.stop(running)
