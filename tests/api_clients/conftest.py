"""Install client generators and an API fuzzer, each in its own environment, to test the OpenAPI document."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.test import Client

from tests import tool_folders
from tests.conftest import left_out
from tests.payments.stripe_account import StripeAccount
from tests.payments.stripe_double import StripeDouble
from tests.servers.portal import Portal

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that need Node.js if it is not installed, and name them at the end of the run."""
    if all(map(shutil.which, ("node", "npm"))):
        return
    needing = [item for item in items if "npm_folder" in getattr(item, "fixturenames", ())]
    for item in needing:
        items.remove(item)
    if needing:
        config.hook.pytest_deselected(items=needing)
        sentence = "install Node.js 18 or newer with npm"
        left_out(config, f"{len(needing)} TypeScript tests did not run: {sentence}")


@pytest.fixture(scope="session")
def npm_folder() -> Path:
    return tool_folders.npm_folder(HERE, cache="api-clients")


@pytest.fixture(scope="session")
def python_tools() -> Path:
    """Return the `bin` folder of the tools that are written in Python."""
    return tool_folders.python_folder("clients") / "bin"


@pytest.fixture(scope="module")
def stripe_server() -> Iterator[StripeDouble]:
    double = StripeDouble(account=StripeAccount())
    yield double
    double.close()


@pytest.fixture
def portal(make_portal: Callable[..., Portal], stripe_server: StripeDouble) -> Portal:
    """Return a portal without rate limits that is connected to a Stripe double."""
    made = make_portal(
        STRIPE_SECRET_KEY="sk_test_double",
        STRIPE_API_BASE=stripe_server.base,
        STRIPE_WEBHOOK_SECRETS=stripe_server.secret,
    )
    made.rows("UPDATE limits_ratelimittier SET is_enabled = %s", (False,))
    made.start()
    return made


@pytest.fixture
def document(client: Client, db: None, tmp_path: Path) -> Path:
    """Save the OpenAPI document that the portal serves, and return its path."""
    path = tmp_path / "openapi.json"
    path.write_bytes(client.get("/api/v1/openapi.json").content)
    return path
