from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from core.clients.models import ClientApp
from errors.services import resolution
from errors.store import to_resolve
from tests.errors.source_maps.built import Cli
from tests.errors.support import Sender

FOLDER = "django.core.files.storage.FileSystemStorage"
DATABASE = "errors.source_maps.storage.DatabaseStorage"


@pytest.fixture(params=["folder", "database"])
def storage(request: pytest.FixtureRequest, settings: Settings, no_cached_apps: None) -> str:
    """Keep uploads in a folder, then in the database."""
    if request.param == "database":
        settings.STORAGES = {**settings.STORAGES, "source_maps": {"BACKEND": DATABASE}}
    return str(request.param)


@pytest.fixture(autouse=True)
def no_cached_apps(settings: Settings, tmp_path: Path) -> Iterator[None]:
    options = {"location": str(tmp_path / "maps"), "allow_overwrite": True}
    settings.STORAGES = {
        **settings.STORAGES,
        "source_maps": {"BACKEND": FOLDER, "OPTIONS": options},
    }
    to_resolve.clear()
    resolution.clear()
    yield
    to_resolve.clear()
    resolution.clear()


@pytest.fixture
def cli(shop: ClientApp) -> Cli:
    return Cli(shop)


@pytest.fixture
def browser(shop: ClientApp) -> Sender:
    return Sender(shop)
