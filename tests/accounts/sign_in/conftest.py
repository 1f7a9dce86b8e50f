"""Fixtures: a fixed clock and an owner with a password."""

from collections.abc import Iterator

import pytest
import time_machine
from django.contrib.auth.models import User

from tests.accounts.sign_in.support import PASSWORD


@pytest.fixture(autouse=True)
def fixed_clock() -> Iterator[time_machine.Traveller]:
    """Freeze the time, on which TOTP codes and rate limits depend."""
    with time_machine.travel(1_780_000_000, tick=False) as clock:
        yield clock


@pytest.fixture
def owner() -> User:
    return User.objects.create_superuser("anna", "anna@shop.example", PASSWORD)
