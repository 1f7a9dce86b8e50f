"""Test that client generators and a fuzzer accept the portal's OpenAPI document without a warning."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.servers.portal import Portal
from tests.two_runs import in_the_sqlite_run

# In the suite, the fuzzer calls only these operations, because a run of all operations takes minutes. `docs/api.md`
# names the command for such a run.
PATHS = {
    "shop": "^/api/v1/((payments|reservations|waiting-list|availability)/|webhooks/stripe/$)",
    "errors": "^/api/v1/(errors|error-[a-z]+|events|releases|deploys)/",
}
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
# Without this option, the generated types would require request fields that have a default.
OPTIONS = ("--default-non-nullable", "false")

USAGE = """
import type { paths } from "./api";
type Body = paths["/api/v1/payments/"]["post"]["requestBody"]["content"]["application/json"];
type Created = paths["/api/v1/payments/"]["post"]["responses"]["201"]["content"]["application/json"];
export const body: Body = { amount: 2500, currency: "EUR", order_id: "o-1" };
export const read = (created: Created): string | null => created.client_secret;
// @ts-expect-error: an amount is a number
export const wrong: Body = { amount: "25.00", currency: "EUR" };
"""


def run(command: list[object], *, cwd: Path, seconds: float = 60) -> str:
    """Run a program with its folder in PATH, and return its output. Fail the test if the program fails."""
    path = f"{Path(str(command[0])).parent}{os.pathsep}{os.environ['PATH']}"
    completed = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "PATH": path, "NO_COLOR": "1", "COLUMNS": "200"},
    )
    output = completed.stdout + completed.stderr
    assert completed.returncode == 0, output[-6000:]
    return output


@in_the_sqlite_run
def test_openapi_typescript_generates_types_that_compile(
    npm_folder: Path, document: Path, tmp_path: Path
) -> None:
    programs = npm_folder / "node_modules" / ".bin"

    output = run(
        [programs / "openapi-typescript", document, *OPTIONS, "-o", "api.d.ts"], cwd=tmp_path
    )

    assert "warn" not in output.lower(), output
    (tmp_path / "usage.ts").write_text(USAGE)
    run([programs / "tsc", "--noEmit", "--strict", "usage.ts"], cwd=tmp_path)


@in_the_sqlite_run
def test_openapi_python_client_generates_a_package_that_calls_the_portal(
    python_tools: Path, document: Path, tmp_path: Path, portal: Portal
) -> None:
    generate = [python_tools / "openapi-python-client", "generate", "--path", document]
    config = tmp_path / "client.yml"
    config.write_text("content_type_overrides: {application/x-ndjson: application/octet-stream}\n")

    output = run(
        [*generate, "--meta", "none", "--config", config, "--output-path", "shop_api"], cwd=tmp_path
    )

    assert "warning" not in output.lower(), output
    program = tmp_path / "program.py"
    program.write_text(
        "import importlib, pkgutil, sys\n"
        "import shop_api, shop_api.api\n"
        "for module in pkgutil.walk_packages(shop_api.__path__, 'shop_api.'):\n"
        "    importlib.import_module(module.name)\n"
        "print(shop_api.AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])"
        ".get_httpx_client().get('/api/v1/reservations/stats/').status_code)\n"
    )
    called = run([python_tools / "python", program, portal.base_url, portal.api_key], cwd=tmp_path)
    assert called.strip() == "200"


@pytest.mark.parametrize("subject", PATHS)
def test_schemathesis_finds_no_response_that_differs_from_the_document(
    python_tools: Path, document: Path, tmp_path: Path, portal: Portal, subject: str
) -> None:
    output = run(
        [
            *(python_tools / "schemathesis", "run", document, "--url", portal.base_url),
            *("--header", f"Authorization: Bearer {portal.api_key}"),
            *("--include-path-regex", PATHS[subject], "--checks", ",".join(CHECKS)),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", "3"),
            *("--generation-deterministic", "--no-color"),
        ],
        cwd=tmp_path,
        seconds=300,
    )

    assert "schema error" not in output.lower(), output
