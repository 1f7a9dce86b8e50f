"""The examples of docs/api.md about errors, run as they stand there: only the portal's address and the key are put in."""

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


def example(language: str, having: str, portal: Portal) -> str:
    """The one block of that language with this text in it, for this portal."""
    (found,) = [code for name, code in BLOCKS if name == language and having in code]
    address = portal.base_url.removeprefix("http://")
    found = found.replace("https://KEY@portal.example/1", portal.dsn)
    return str(found.replace("https://portal.example", f"http://{address}"))


def run(command: list[str], portal: Portal) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "KEY": portal.public_key},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def reported(portal: Portal, title: str) -> dict[str, str]:
    row = portal.wait_for(
        lambda: portal.rows(
            f"SELECT {COLUMNS} FROM errors_errorevent WHERE message LIKE %s", (f"{title}%",)
        ),
        what=title,
    )
    return dict(zip(COLUMNS.split(", "), row[0], strict=True))


def test_every_example_is_run_by_a_test_here() -> None:
    """But for PHP's SDK, which no registry here has; one SDK's line is like another's."""
    assert sorted(name for name, _ in BLOCKS) == ["js", "js", "php", "php", "python", "sh"]


def test_curl(portal: Portal) -> None:
    told = run(["bash", "-euc", example("sh", "curl", portal)], portal)

    assert '"id"' in told
    assert reported(portal, "PaymentDeclined: card was declined") == {
        "severity": "critical", "category": "payments", "function": "checkout.pay", "request_id": "req-81f0", "user_key": "u-7",
        "organization": "acme", "order_ref": "o-77", "payment_ref": "pi_3Nabc", "reservation_ref": "r-12",
        "environment": "production", "release": "shop@1.2.0",
    }  # fmt: skip


def test_python(portal: Portal) -> None:
    code = "\n".join([
        "class order: id = 'o-78'",
        example("python", "sentry_sdk.init", portal),
        "try:\n    {}['seat 7']\nexcept KeyError:\n    sentry_sdk.capture_exception()\nsentry_sdk.flush(10)",
    ])  # fmt: skip
    run([sys.executable, "-c", code], portal)

    kept = reported(portal, "KeyError")
    assert (kept["order_ref"], kept["release"], kept["environment"]) == ("o-78", "shop@1.2.0", "production")  # fmt: skip


def test_the_javascript_sdk(portal: Portal, npm_folder: Path) -> None:
    """In Node, for which the example says that it is alike; browsers are tested with the SDKs."""
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

    assert reported(portal, "TypeError: gate 9 is stuck")["reservation_ref"] == "r-9"


@pytest.mark.usefixtures("npm_folder")  # where there is no Node.js it is said
def test_javascript_without_an_sdk(portal: Portal) -> None:
    code = (
        f"const key = '{portal.public_key}', orderId = 'o-80', error = new RangeError('row 80');\n"
        + example("js", "fetch", portal)
    )
    run(["node", "--input-type=module", "-e", code], portal)

    assert reported(portal, "RangeError: row 80")["order_ref"] == "o-80"


def test_php_without_an_sdk(portal: Portal, php: str) -> None:
    code = "\n".join([
        f"$key = '{portal.public_key}'; $order = 'o-82'; $error = new LogicException('row 82 is sold twice');",
        example("php", "file_get_contents", portal),
    ])  # fmt: skip
    run([php, "-d", "error_reporting=E_ALL", "-d", "display_errors=stderr", "-r", code], portal)

    assert reported(portal, "LogicException: row 82 is sold twice")["order_ref"] == "o-82"


def test_a_check_in_from_a_crontab(portal: Portal) -> None:
    (command,) = re.findall(r"`(curl [^`]*/cron/[^`]*)`", SECTION)
    command = command.replace("https://portal.example", portal.base_url)
    command = command.replace("<app>", str(portal.seeded.app_id)).replace("KEY", portal.public_key)

    run(["bash", "-euc", f"{command} -fsS"], portal)

    assert portal.value("SELECT count(*) FROM health_heartbeat WHERE slug = 'nightly'") == 1
