"""Test the output of /metrics with real Prometheus tools and the queries of the Grafana dashboards."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings as django_settings
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from core.clients.models import ApiKey, ClientApp, Scope
from core.jobs.models import Job, Node
from deploy.grafana import build
from health.caches.health import health_cache
from health.extension_points import metrics as metric_sources
from health.services import record_gauges, record_measurements, record_results
from health.signals import Activity, Counter, Delivery, Gauge, Performance
from health.verdict import Result, Status
from health.views import metrics
from tests.conftest import left_out
from tests.factories import make_alert, make_app, make_component

pytestmark = pytest.mark.django_db
DEPLOY = Path(django_settings.BASE_DIR) / "deploy"


@pytest.fixture(autouse=True)
def clear_metrics_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    health_cache.clear()
    metrics.clear_cache()
    monkeypatch.setattr(metrics, "CACHE_SECONDS", 0.0)


def read(client: Client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    response = client.get("/metrics")
    assert response.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


def test_metrics_require_a_token_or_an_allowed_address(client: Client, settings: Settings) -> None:
    settings.METRICS_ALLOW, settings.METRICS_TOKEN = ["10.1.0.0/16"], "let-me-in"
    _, admin = ApiKey.issue(app=make_app(), scopes=[Scope.ADMIN])
    _, other = ApiKey.issue(app=make_app(), scopes=[Scope.METRICS])

    def status(key: str = "", address: str = "127.0.0.1") -> int:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return client.get("/metrics", headers=headers, REMOTE_ADDR=address).status_code

    assert status() == 403
    assert status("wrong") == 403
    assert status(other) == 403
    assert status("let-me-in") == 200
    assert status(admin) == 200
    assert status(address="10.1.2.3") == 200


def test_calls_are_exposed_as_an_increasing_histogram(client: Client) -> None:
    app, now = make_app("shop"), timezone.now()
    record_measurements(
        [
            Performance("GET /", 40, kind="request"),
            Performance("GET /", 4_000, "request", ok=False),
        ],
        app=app,
        now=now,
    )
    found = read(client)

    kind = ("kind", "request")
    assert found["opsportal_calls_total", (kind,)] == 2
    assert found["opsportal_calls_failed_total", (kind,)] == 1
    assert found["opsportal_call_duration_seconds_bucket", (kind, ("le", "0.05"))] == 1
    assert found["opsportal_call_duration_seconds_bucket", (kind, ("le", "3"))] == 1
    assert found["opsportal_call_duration_seconds_bucket", (kind, ("le", "+Inf"))] == 2
    assert found["opsportal_call_duration_seconds_sum", (kind,)] == pytest.approx(4.04)

    record_measurements([Performance("GET /", 40, "request")], app=app, now=now)
    assert read(client)["opsportal_calls_total", (kind,)] == 3


def test_components_and_alerts_are_exposed(client: Client) -> None:
    now = timezone.now()
    record_results(
        [(make_component("shop"), [Result(Status.UNHEALTHY, now, 250, "refused")])], now=now
    )
    make_alert(key="x", severity="critical")
    found = read(client)

    labels = (("component", "shop"), ("kind", "check"), ("required", "false"))
    assert found["opsportal_component_status", labels] == 0
    assert found["opsportal_component_response_seconds", labels] == 0.25
    assert found["opsportal_alerts_active", (("severity", "critical"),)] == 1


def test_a_failing_source_does_not_affect_the_others(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = type(metric_sources)("metrics")
    registry.add("broken", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    registry.add("health.calls", metric_sources.get("health.calls"))
    monkeypatch.setattr(
        metric_sources, "_items", dict(zip(registry.names(), registry, strict=True))
    )
    found = read(client)

    assert found["opsportal_metric_source_failed", (("source", "broken"),)] == 1
    assert found["opsportal_metric_source_failed", (("source", "health.calls"),)] == 0
    assert ("opsportal_calls_total", (("kind", "page"),)) in found


# --- with the real tools ------------------------------------------------------------------------------


def tool(name: str, request: pytest.FixtureRequest) -> str:
    path = shutil.which(name)
    if path is None:
        left_out(request.config, f"what needs {name} did not run: install Debian's prometheus")
        pytest.skip(f"no {name}")
    return path


def test_promtool_accepts_the_configuration_the_rules_and_the_metrics(
    client: Client, request: pytest.FixtureRequest
) -> None:
    promtool = tool("promtool", request)
    fill()
    for command, given in (
        (["check", "config", "prometheus.yml"], None),
        (["check", "rules", "opsportal.rules.yml"], None),
        (["test", "rules", "opsportal.rules.test.yml"], None),
        (["check", "metrics"], client.get("/metrics").content),
    ):
        done = subprocess.run(
            [promtool, *command],
            cwd=DEPLOY / "prometheus",
            input=given,
            capture_output=True,
            timeout=30,
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_dashboards_match_the_output_of_their_builder() -> None:
    files = build.files()
    assert len(files) == 5
    for name, text in files.items():
        assert (DEPLOY / "grafana" / "dashboards" / name).read_text() == text


def fill() -> ClientApp:
    """Write rows to every table that a dashboard shows, and return the app that they belong to."""
    app, now = ClientApp.objects.filter(slug="shop").first() or make_app("shop"), timezone.now()
    record_measurements(
        [
            Performance("checkout", 120, ok=False),
            Performance("/", 900, kind="page"),
            Performance("GET /", 40, kind="request", ok=False),
            Activity("u1"),
            Gauge("credit_balance", 300),
            Counter("tickets_sold", 2),
            *(
                Delivery(channel, outcome)
                for channel in ("sms", "email")
                for outcome in ("sent", "failed")
            ),
        ],
        app=app,
        now=now,
    )
    # Also record measurements of the previous minute, because metrics by app cover only complete minutes.
    record_measurements(
        [Performance("/", 900, kind="page"), Performance("GET /", 4, kind="request")],
        app=app,
        now=now - timedelta(minutes=1),
    )
    record_gauges(now=now)
    return app


@pytest.fixture
def prometheus(
    live_server: LiveServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[str]:
    """Run a real Prometheus that scrapes the portal every second, and yield its URL."""
    binary = tool("prometheus", request)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    target = live_server.url.removeprefix("http://")
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    text = text.replace("127.0.0.1:8000", target).replace("60s", "1s").replace("10s", "1s")
    (tmp_path / "prometheus.yml").write_text(text)
    shutil.copy(DEPLOY / "prometheus" / "opsportal.rules.yml", tmp_path)
    process = subprocess.Popen(
        [
            binary,
            f"--config.file={tmp_path}/prometheus.yml",
            f"--storage.tsdb.path={tmp_path}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(15)


def run_query(url: str, expr: str) -> list[Any]:
    answer = httpx.get(f"{url}/api/v1/query", params={"query": expr}, timeout=10).json()
    assert answer["status"] == "success", f"{expr}: {answer.get('error')}"
    return list(answer["data"]["result"])


@pytest.mark.django_db(transaction=True)
def test_every_query_of_every_dashboard_returns_data(prometheus: str, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    now = timezone.now()
    Node.objects.create(name="one", pid=1, version="1", last_tick_at=now, seen_at=now)
    Job.objects.create(name="job", cron="* * * * *", next_run_at=now, last_finished_at=now)
    component = make_component("database", is_required=True)
    record_results([(component, [Result(Status.HEALTHY, now, 3)])], now=now)
    fill()
    queries = {
        (name, panel["title"], target["expr"].replace("$__rate_interval", "15s"))
        for name, text in build.files().items()
        for panel in json.loads(text)["panels"]
        for target in panel["targets"]
    }
    assert len(queries) > 60
    # Metrics with these prefixes are missing until there are errors, breakers or notifications.
    optional = ("opsportal_error", "opsportal_breaker", "opsportal_notifications")
    missing = {query for query in queries if not any(word in query[2] for word in optional)}
    deadline = time.monotonic() + 45
    while missing and time.monotonic() < deadline:
        time.sleep(1)
        fill()
        try:
            missing = {query for query in missing if not run_query(prometheus, query[2])}
        except httpx.TransportError:
            continue  # Prometheus is still starting.
    assert sorted(missing) == []
    for query in queries:
        run_query(prometheus, query[2])  # Even a query that may return no data must be valid.
