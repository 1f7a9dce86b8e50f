"""Test that the examples in docs/api.md that report errors work when only the URL and the key are replaced."""

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.servers.portal import ROOT, Portal

SECTION = (ROOT / "docs" / "api.md").read_text().partition("\n## Errors\n")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", SECTION, re.DOTALL)
COLUMNS = "severity, category, function, request_id, user_key, organization, order_ref, payment_ref, reservation_ref, environment, release"  # fmt: skip


@pytest.fixture
def portal(module_portal: Portal) -> Portal:
    return module_portal


def example(language: str, text: str, portal: Portal) -> str:
    """Return the only code block in `language` that contains `text`, with the portal's URL and key inserted."""
    (code,) = [code for name, code in BLOCKS if name == language and text in code]
    code = code.replace("https://KEY@portal.example/1", portal.dsn)
    return str(code.replace("https://portal.example", portal.base_url))


def run(command: list[str], portal: Portal) -> str:
    completed = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "KEY": portal.public_key},
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def stored(portal: Portal, title: str) -> dict[str, str]:
    """Wait for the event with this title and return its columns."""
    row = portal.wait_for(
        lambda: portal.rows(
            f"SELECT {COLUMNS} FROM errors_errorevent WHERE message LIKE %s", (f"{title}%",)
        ),
        what=title,
    )
    return dict(zip(COLUMNS.split(", "), row[0], strict=True))


def test_every_example_is_known_to_these_tests() -> None:
    """Test that there are no untested examples, except the PHP SDK's, which requires Composer."""
    assert sorted(name for name, _ in BLOCKS) == ["js", "js", "php", "php", "python", "sh"]


def test_the_curl_example_reports_an_error(portal: Portal) -> None:
    output = run(["bash", "-euc", example("sh", "curl", portal)], portal)

    assert '"id"' in output
    assert stored(portal, "PaymentDeclined: card was declined") == {
        "severity": "critical", "category": "payments", "function": "checkout.pay", "request_id": "req-81f0", "user_key": "u-7",
        "organization": "acme", "order_ref": "o-77", "payment_ref": "pi_3Nabc", "reservation_ref": "r-12",
        "environment": "production", "release": "shop@1.2.0",
    }  # fmt: skip


def test_the_python_example_reports_an_error(portal: Portal) -> None:
    code = "\n".join([
        "class order: id = 'o-78'",
        example("python", "sentry_sdk.init", portal),
        "try:\n    {}['seat 7']\nexcept KeyError:\n    sentry_sdk.capture_exception()\nsentry_sdk.flush(10)",
    ])  # fmt: skip
    run([sys.executable, "-c", code], portal)

    event = stored(portal, "KeyError")
    assert (event["order_ref"], event["release"], event["environment"]) == ("o-78", "shop@1.2.0", "production")  # fmt: skip


def test_the_javascript_sdk_example_reports_an_error(portal: Portal, npm_folder: Path) -> None:
    """Run the example with the Node SDK; test_sdks.py tests the browser SDK."""
    code = example("js", "Sentry.init", portal).replace("@sentry/browser", "@sentry/node")
    program = npm_folder / f"example-{uuid.uuid4().hex}.mjs"
    program.write_text(
        f"const reservation = {{ id: 'r-9' }};\n{code}\n"
        "Sentry.captureException(new TypeError('gate 9 is stuck'));\nawait Sentry.flush(10000);"
    )
    try:
        run(["node", str(program)], portal)
    finally:
        program.unlink()

    assert stored(portal, "TypeError: gate 9 is stuck")["reservation_ref"] == "r-9"


# The fixture deselects the test if Node.js is not installed.
@pytest.mark.usefixtures("npm_folder")
def test_the_javascript_example_without_an_sdk_reports_an_error(portal: Portal) -> None:
    code = (
        f"const key = '{portal.public_key}', orderId = 'o-80', error = new RangeError('row 80');\n"
        + example("js", "fetch", portal)
    )
    run(["node", "--input-type=module", "-e", code], portal)

    assert stored(portal, "RangeError: row 80")["order_ref"] == "o-80"


def test_the_php_example_without_an_sdk_reports_an_error(portal: Portal, php: str) -> None:
    code = "\n".join([
        f"$key = '{portal.public_key}'; $order = 'o-82'; $error = new LogicException('row 82 is sold twice');",
        example("php", "file_get_contents", portal),
    ])  # fmt: skip
    run([php, "-d", "error_reporting=E_ALL", "-d", "display_errors=stderr", "-r", code], portal)

    assert stored(portal, "LogicException: row 82 is sold twice")["order_ref"] == "o-82"


def test_the_crontab_example_checks_in(portal: Portal) -> None:
    (command,) = re.findall(r"`(curl [^`]*/cron/[^`]*)`", SECTION)
    command = command.replace("https://portal.example", portal.base_url)
    command = command.replace("<app>", str(portal.seeded.app_id)).replace("KEY", portal.public_key)

    run(["bash", "-euc", f"{command} -fsS"], portal)

    assert portal.value("SELECT count(*) FROM health_heartbeat WHERE slug = 'nightly'") == 1
