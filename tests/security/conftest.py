import pytest

from opsportal.limits import tiers


@pytest.fixture(autouse=True)
def no_rate_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests ask more than any caller may."""
    monkeypatch.setattr(tiers, "_limits", {})
