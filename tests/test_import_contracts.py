"""Test the import contracts of pyproject.toml on copies of the code that break them."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from core.clients.models import Scope

ROOT = Path(__file__).resolve().parent.parent
LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"
PACKAGES: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "root_packages"
]


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """Copy the checked code and its import contracts to a temporary folder, and return the folder."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        files = shutil.ignore_patterns("__pycache__", "static", "migrations")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=files)
    return tmp_path


def broken_contracts(code: Path) -> list[str]:
    run = subprocess.run(
        [LINT_IMPORTS, "--no-cache", "--no-logo"], cwd=code, capture_output=True, text=True
    )
    lines = run.stdout.splitlines()
    broken = [line.partition(" BROKEN")[0] for line in lines if " BROKEN" in line]
    assert run.returncode == bool(broken), run.stdout + run.stderr
    return broken


def test_every_folder_with_an_app_is_checked() -> None:
    apps = {path.parent.name for path in ROOT.glob("*/apps.py")}

    assert apps <= set(PACKAGES)


def test_the_code_keeps_its_contracts(code: Path) -> None:
    assert broken_contracts(code) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("payments/services/cancel.py", "import stripe"),
        ("payments/__init__.py", "from stripe import StripeError"),
        ("payments/added_later.py", "from stripe.params import PaymentIntentCreateParams"),
        ("core/lib/added_later.py", "import stripe"),
        ("reservations/receivers.py", "import stripe"),
    ],
)
def test_only_the_module_payments_stripe_api_may_import_stripe(
    code: Path, module: str, line: str
) -> None:
    with (code / module).open("a") as source:
        source.write(f"\n{line}\n")

    assert broken_contracts(code) == ["only payments.stripe_api knows stripe"]


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        (
            "alerts/routing.py",
            "import errors.queries.search",
            "layers: imports point down, data comes up through hooks",
        ),
        (
            "errors/queries/search.py",
            "import payments.intents",
            "errors and payments do not know each other",
        ),
    ],
)
def test_an_import_that_points_up_or_sideways_breaks_a_contract(
    code: Path, module: str, line: str, contract: str
) -> None:
    with (code / module).open("a") as source:
        source.write(f"\n{line}\n")

    assert contract in broken_contracts(code)


UPPER_APPS = {
    "core": "alerts|health|payments|errors|reservations",
    "alerts": "health|payments|errors|reservations",
    "health": "payments|errors|reservations",
    "payments": "errors|reservations",
}
# Modules that may name upper apps: roles and counted tables are easier to review in one list for all apps.
MAY_NAME_UPPER_APPS = (
    "core/accounts/services/roles.py",
    # The name of an upper app is the salt of stored references, so a new name would invalidate them.
    "core/lib/customers.py",
    "health/backups/creation.py",
)


@pytest.mark.parametrize("folder", UPPER_APPS)
def test_no_layer_names_hooks_or_urls_of_an_upper_layer(folder: str) -> None:
    name = re.compile(rf"(?:{UPPER_APPS[folder]})[.:_][a-z_-]+")
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        module = path.relative_to(ROOT).as_posix()
        if "/migrations/" in module or module in MAY_NAME_UPPER_APPS:
            continue
        found += [
            f"{module}:{node.lineno}: {node.value}"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and name.fullmatch(node.value)
            and node.value not in Scope.values
        ]

    assert found == []
