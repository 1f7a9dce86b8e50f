import pytest

from opsportal.middleware import rate_limits


@pytest.fixture(autouse=True)
def no_rate_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests ask more than any caller may."""
    # Not the table of limits: it is read again every few seconds.
    monkeypatch.setattr(rate_limits, "limit_of", lambda tier, app="": None)
