import socket
from collections.abc import Callable, Iterator

import pytest

from health.caches import status
from health.caches.health import health_cache, readiness_cache
from health.extension_points import Check, CheckFunction, health_checks

SetChecks = Callable[..., None]


@pytest.fixture
def set_checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[SetChecks]:
    """Return a function that replaces all registered checks: `set_checks(name=function)`.

    To set further fields of a Check, pass a tuple of the function and a dict of these fields.
    """

    def replace(**functions: CheckFunction | tuple[CheckFunction, dict[str, object]]) -> None:
        registry = type(health_checks)("health_checks")
        for name, given in functions.items():
            run, fields = given if isinstance(given, tuple) else (given, {})
            values = {"critical": False, "timeout": 2.0, **fields}
            registry.add(name, Check(name, name.title(), run, **values))  # type: ignore[arg-type]
        monkeypatch.setattr(
            health_checks, "_items", dict(zip(registry.names(), registry, strict=True))
        )
        health_cache.clear()
        readiness_cache.clear()

    yield replace
    health_cache.clear()
    readiness_cache.clear()


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


@pytest.fixture
def patient_status_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear the cached status, and let readers wait up to a minute for a new one on a slow machine."""
    monkeypatch.setattr(status, "READ_TIMEOUT_SECONDS", 60)
    status.status_cache.clear()
    status.snapshot_path().unlink(missing_ok=True)
