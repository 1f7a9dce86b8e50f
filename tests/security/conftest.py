import pytest

from opsportal.middleware import rate_limits


@pytest.fixture(autouse=True)
def no_rate_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable all limits, because these tests send more requests than any client may."""
    # Replace the function, because the portal reads changes of the table of limits only every few seconds.
    monkeypatch.setattr(rate_limits, "limit_of", lambda tier, app="": None)
