"""Test that apps with OpenTelemetry can report with only an endpoint and headers, and that Sentry SDKs send logs."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import tool_folders
from tests.sdks.conftest import PROGRAMS
from tests.servers.portal import Portal

Run = Callable[..., dict[str, str]]


@pytest.fixture
def portal(module_portal: Portal) -> Portal:
    """Share one portal between all tests, each of which looks only for its own data."""
    return module_portal


@pytest.fixture(scope="session")
def otel_folder() -> Path:
    return tool_folders.python_folder("otel")


def environment(portal: Portal, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "OTEL_EXPORTER_OTLP_ENDPOINT": portal.base_url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{portal.public_key}",
        **more,
    }


def run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert "500" in done.stdout, done.stdout + done.stderr


def trace_of(portal: Portal, title: str) -> str:
    """Wait until the error with this title is stored, and return the id of its trace."""
    [(group, event)] = portal.wait_for(
        lambda: portal.rows(
            "SELECT g.id, e.id FROM errors_errorgroup g JOIN errors_errorevent e ON e.group_id = g.id"
            " WHERE g.title = %s",
            (title,),
        ),
        what=title,
    )
    url = f"/admin/errors/{group}/events/{event}/json/"
    payload: dict[str, Any] = portal.client.get(url, headers=portal.staff).json()
    return str(payload["contexts"]["trace"]["trace_id"])


def entries(portal: Portal, trace_id: str) -> dict[str, str]:
    """Map the text of each log entry of the trace to the kind of the entry."""
    query = "SELECT body, kind FROM logs_logentry WHERE trace_id = %s"
    return dict(portal.rows(query, (trace_id,)))


def test_an_instrumented_flask_app_reports_errors_logs_requests_and_metrics(
    portal: Portal, otel_folder: Path
) -> None:
    binaries = otel_folder / "bin"
    settings = environment(
        portal,
        OTEL_SERVICE_NAME="shop",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED="true",
    )

    run(
        [
            str(binaries / "opentelemetry-instrument"),
            str(binaries / "python"),
            str(PROGRAMS / "otel_flask.py"),
        ],
        settings,
    )

    trace_id = trace_of(portal, "ValueError: the bank declined o-13")
    shown = entries(portal, trace_id)
    assert shown["asking the bank about o-13"] == "log"
    assert next(body for body, kind in shown.items() if kind == "request").startswith(
        "GET /pay/<order> 500"
    )
    assert portal.rows("SELECT 1 FROM health_series WHERE name = 'GET /pay/<order>'")
    page = portal.client.get(f"/admin/logs/?q=trace:{trace_id}", headers=portal.staff).text
    assert "Errors of this trace" in page


@pytest.mark.parametrize("protocol", ["http/protobuf", "http/json"])
def test_an_instrumented_node_app_reports_errors_and_requests(
    portal: Portal, npm_folder: Path, protocol: str
) -> None:
    node = shutil.which("node")
    assert node
    portal.rows("DELETE FROM health_latency")
    settings = environment(
        portal,
        OTEL_SERVICE_NAME="seats",
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        OTEL_NODE_RESOURCE_DETECTORS="env,host",
        NODE_PATH=str(npm_folder / "node_modules"),
    )

    run(
        [
            *(node, "--require", "@opentelemetry/auto-instrumentations-node/register"),
            str(PROGRAMS / "otel_node.cjs"),
        ],
        settings,
    )

    portal.wait_for(
        lambda: portal.rows(
            "SELECT 1 FROM errors_errorgroup WHERE title = 'RangeError: seat A-12 is gone'"
        ),
        what="the error",
    )
    portal.wait_for(
        lambda: portal.rows(
            "SELECT 1 FROM logs_logentry WHERE kind = 'request' AND body LIKE %s",
            ("GET /seats/:seat 500%",),
        ),
        what="the request",
    )


def test_the_python_sdk_sends_its_logs(portal: Portal, run_python: Run) -> None:
    run_python("python_sdk.py", portal.dsn)

    [(level, attributes)] = portal.wait_for(
        lambda: portal.rows(
            "SELECT level, attributes FROM logs_logentry WHERE body = 'order o-77 paid'"
        ),
        what="the log",
    )
    assert level == "info"
    assert "o-77" in str(attributes)
    assert portal.rows("SELECT 1 FROM logs_logentry WHERE body = 'stock is low'")


def test_the_node_sdk_sends_its_logs(portal: Portal, run_node: Run) -> None:
    run_node("node_sdk.cjs", portal.dsn)

    [(level,)] = portal.wait_for(
        lambda: portal.rows("SELECT level FROM logs_logentry WHERE body = 'gate opened'"),
        what="the log",
    )
    assert level == "warn"
