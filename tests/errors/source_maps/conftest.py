from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from core.clients.models import ClientApp
from errors.services import resolution
from errors.store import to_resolve
from opsportal import settings as portal_settings
from tests.errors.source_maps.built import Cli
from tests.errors.support import Sender

FOLDER = "django.core.files.storage.FileSystemStorage"
DATABASE = "errors.source_maps.storage.DatabaseStorage"


@pytest.fixture(params=["folder", "database", "s3"])
def storage(request: pytest.FixtureRequest, settings: Settings, no_cached_apps: None) -> str:
    """Run the test with uploads stored in a folder, in the database, and in a bucket. Return the kind of storage."""
    if request.param == "database":
        settings.STORAGES = {**settings.STORAGES, "source_maps": {"BACKEND": DATABASE}}
    if request.param == "s3":
        request.getfixturevalue("bucket")
    return str(request.param)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Start an S3 server on loopback, and yield its URL."""
    # Only tests with a bucket need this import, which is slow.
    from moto.server import (
        ThreadedMotoServer,
    )

    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(
    s3_server: str, settings: Settings, monkeypatch: pytest.MonkeyPatch, no_cached_apps: None
) -> Any:
    """Store uploads in a new bucket, with the settings that result from `SOURCE_MAP_STORAGE=s3://maps/uploads`."""
    import boto3  # type: ignore[import-untyped]

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "portal")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "for tests only")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    found = boto3.resource("s3").Bucket("maps")
    found.create()
    chosen = portal_settings._source_map_storage("s3://maps/uploads")
    settings.STORAGES = {**settings.STORAGES, "source_maps": chosen}
    yield found
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    found.objects.all().delete()
    found.delete()


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
