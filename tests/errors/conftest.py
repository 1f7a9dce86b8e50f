from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from core.clients.models import ClientApp
from tests.errors.support import Sender
from tests.factories import make_app


@pytest.fixture
def shop(db: None) -> ClientApp:
    return make_app("shop", name="Shop")


@pytest.fixture
def sender(db: None) -> Sender:
    return Sender()


@pytest.fixture
def owner(db: None) -> User:
    return User.objects.create_superuser("owner")


@pytest.fixture
def browse(owner: User, client: Client) -> Client:
    """Return a client that is signed in as a superuser."""
    client.force_login(owner)
    return client


@pytest.fixture
def staff_client(db: None) -> Callable[..., Client]:
    """Return a function that signs in a staff user with the given permissions: `staff_client("view_errorgroup")`."""

    def make(*codenames: str) -> Client:
        user = User.objects.create_user(f"staff-{'-'.join(codenames) or 'none'}", is_staff=True)
        user.user_permissions.set(
            Permission.objects.filter(content_type__app_label="errors", codename__in=codenames)
        )
        client = Client()
        client.force_login(user)
        return client

    return make
