import pytest

from opsportal.middleware import rate_limits


@pytest.fixture(autouse=True)
def no_rate_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable all rate limits, because these tests send more requests than any client may."""
    # Replace the function, because a process reads changed limits from the table only every few seconds.
    monkeypatch.setattr(rate_limits, "limit_of", lambda tier, app="": None)
