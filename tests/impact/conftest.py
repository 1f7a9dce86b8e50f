import pytest

from impact.services import catch_up
from tests.payments.conftest import account_server, double, fresh_process

__all__ = ["account_server", "double", "fresh_process"]


@pytest.fixture(autouse=True)
def unlimited_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each request apply all waiting changes before it reads figures, even on a slow machine."""
    monkeypatch.setattr(catch_up, "READ_SECONDS", 600.0)
    monkeypatch.setattr(catch_up, "MAX_READ_CHANGES", 1_000_000)
