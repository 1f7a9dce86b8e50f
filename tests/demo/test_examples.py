"""Test that the examples of docs/api.md and docs/checkout.md run as printed against `make demo`."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import process
from tests.two_runs import in_the_sqlite_run

ROOT = Path(__file__).resolve().parent.parent.parent
PRELUDE = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }\n'
# The demo has its own SQLite file in every run.
pytestmark = [in_the_sqlite_run, pytest.mark.servers, pytest.mark.slow]


def blocks(document: str, section: str, language: str) -> list[str]:
    """Return the code blocks in `language` from the section with the heading `## section`."""
    text = (ROOT / "docs" / document).read_text()
    found = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, section
    return re.findall(rf"^```{language}\n(.*?)^```", found[1], re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run `make demo` on a free port, and return the variables that its output asks the user to export."""
    folder = tmp_path_factory.mktemp("demo")
    log = folder / "log"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "BASE_URL")
    }
    environment |= {"DATA_DIR": str(folder / "data"), "PORT": str(process.free_port())}
    running = process.spawn([sys.executable, "-m", "demo"], log=log, env=environment, cwd=ROOT)
    try:
        process.wait_until(
            lambda: "\nexport PORTAL=" in log.read_text(),
            process=running,
            log=log,
            seconds=240,
            what="the demo",
        )
        [printed] = re.findall(r"^export (.*)$", log.read_text(), re.MULTILINE)
        yield dict(pair.split("=", 1) for pair in printed.split())
    finally:
        process.stop(running, grace_seconds=15)


def run(command: list[str], demo: dict[str, str], *, given: str | None = None) -> str:
    done = subprocess.run(
        command,
        input=given,
        env={**os.environ, **demo},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_the_examples_of_the_api_documentation_run_as_printed(demo: dict[str, str]) -> None:
    reservations = blocks("api.md", "Reservations", "sh")
    payments = blocks("api.md", "Payments", "sh")
    # One block reserves tickets, and the other one joins the waiting list.
    assert len(reservations) == 2
    assert len(payments) == 1

    said = run(["bash"], demo, given=PRELUDE + "\n".join([*reservations, *payments]))

    for expected in ('"seconds_left":', '"position":', '"client_secret":', '"amount":9000'):
        assert expected in said


def test_the_examples_of_errors_by_script_run_as_printed(
    demo: dict[str, str], tmp_path: Path
) -> None:
    [script] = blocks("api.md", "Errors by script", "sh")
    report = [f"{demo['PORTAL']}/api/v1/errors/", "-H", f"Authorization: Bearer {demo['KEY']}"]
    run(["curl", "--fail-with-body", *report, "-d", '{"message": "declined"}'], demo)

    said = run(["bash"], demo, given=f"{PRELUDE}cd {tmp_path}\n{script}")

    for expected in ('"next_cursor":', '"step_seconds":60', '"changed":1', '"deleted":'):
        assert expected in said
    lines = (tmp_path / "errors.ndjson").read_text().splitlines()
    assert all(json.loads(line)["payload"] for line in lines)
    assert lines


def test_the_checkout_in_curl_ends_with_a_completed_reservation(demo: dict[str, str]) -> None:
    [script] = blocks("checkout.md", "curl", "sh")

    assert run(["bash"], demo, given=PRELUDE + script).endswith("completed")


def test_the_checkout_in_python_ends_with_a_completed_reservation(demo: dict[str, str]) -> None:
    [script] = blocks("checkout.md", "Python", "python")

    assert run([sys.executable, "-"], demo, given=script) == "completed"


def test_the_checkout_in_node_ends_with_a_completed_reservation(
    demo: dict[str, str], tmp_path: Path
) -> None:
    [script] = blocks("checkout.md", "Node", "js")
    (tmp_path / "checkout.mjs").write_text(script)

    assert run(["node", str(tmp_path / "checkout.mjs")], demo) == "completed"


DRIVER = """
import { GET, POST } from "./route.mjs";
const body = JSON.parse(process.env.BODY);
const ask = () => POST(new Request("http://shop.example/api/checkout", {
  method: "POST", headers: { "x-forwarded-for": "203.0.113.9" }, body: JSON.stringify(body) }));
const first = await ask(), made = await first.json(), again = await (await ask()).json();
const state = await (await GET(new Request(`http://shop.example/api/checkout?reservation=${made.reservation}`))).json();
console.log(JSON.stringify({ status: first.status, made, same: made.clientSecret === again.clientSecret, state }));
"""


def test_the_route_handler_of_nextjs_creates_one_payment_per_basket(
    demo: dict[str, str], tmp_path: Path
) -> None:
    [route] = blocks("checkout.md", r"Next\.js", "js")
    (tmp_path / "route.mjs").write_text(route)
    (tmp_path / "driver.mjs").write_text(DRIVER)
    headers = {"Authorization": f"Bearer {demo['KEY']}"}
    events: Any = httpx.get(f"{demo['PORTAL']}/api/v1/availability/", headers=headers).json()
    item = {"ticket_type": events["events"][0]["ticket_types"][0]["ticket_type"], "quantity": 1}
    body = json.dumps({"basketId": "basket-next", "customer": "c-9", "items": [item]})

    said = run(["node", str(tmp_path / "driver.mjs")], {**demo, "BODY": body})

    assert '"status":200' in said
    assert '"same":true' in said
    assert '"state":{"status":"active"}' in said
