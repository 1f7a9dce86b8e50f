from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from core.clients.models import ClientApp
from core.lib import ratelimit
from errors.ingest.authentication import Project
from logs.models import Level, LogEntry
from logs.records import Record
from logs.services import record_logs
from tests.errors.support import Sender
from tests.factories import make_app

Add = Callable[..., LogEntry]


@pytest.fixture(autouse=True)
def no_hits_counted() -> None:
    ratelimit.memory.clear()


@pytest.fixture
def shop(db: None) -> ClientApp:
    return make_app("shop", name="Shop")


@pytest.fixture
def sender(shop: ClientApp) -> Sender:
    return Sender(shop)


@pytest.fixture
def add(shop: ClientApp) -> Add:
    """Return a function that stores one record: `add("seat taken", level=Level.WARN, order_id="o-1")`."""

    def store(
        body: str,
        *,
        level: Level = Level.INFO,
        at: datetime | None = None,
        app: ClientApp | None = None,
        trace_id: str = "",
        environment: str = "",
        **attributes: Any,
    ) -> LogEntry:
        named = {name.replace("__", "."): value for name, value in attributes.items()}
        record = Record(level, body, at, named, trace_id, environment=environment)
        record_logs([record], project=Project.of(app or shop), now=timezone.now())
        return LogEntry.objects.get(body=body)

    return store


@pytest.fixture
def browse(db: None, client: Client) -> Client:
    """Return a client that is signed in as a superuser."""
    client.force_login(User.objects.create_superuser("owner"))
    return client


@pytest.fixture
def staff_client(db: None) -> Callable[..., Client]:
    """Return a function that signs in a staff user with the given permissions."""

    def make(*codenames: str) -> Client:
        user = User.objects.create_user(f"staff-{'-'.join(codenames) or 'none'}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(user)
        return client

    return make
