"""Provide clients and events for the ingestion tests."""

import json
from typing import Any

from django.test import Client

from core.clients.models import ClientApp, ClientKey
from errors.ingest.authentication import key_cache
from tests.factories import make_app


class Sender:
    """An app that reports errors as SDKs do, through Django's test client."""

    def __init__(self, app: ClientApp | None = None) -> None:
        key_cache.clear()
        self.app = app or make_app()
        self.key = ClientKey.objects.create(app=self.app).public_key
        self.client = Client()

    @property
    def envelope_url(self) -> str:
        return f"/api/{self.app.pk}/envelope/"

    @property
    def auth(self) -> dict[str, str]:
        return {"X-Sentry-Auth": f"Sentry sentry_version=7, sentry_key={self.key}"}

    def post(
        self,
        body: bytes,
        url: str = "",
        *,
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> Any:
        return self.client.post(
            url or self.envelope_url,
            data=body,
            content_type=extra.pop("content_type", "application/x-sentry-envelope"),
            headers=self.auth if headers is None else headers,
            **extra,
        )

    def send(self, event: dict[str, Any], *, header: dict[str, Any] | None = None) -> Any:
        return self.post(envelope(event, header=header))

    def report(self, body: Any, **headers: str) -> Any:
        """Send plain JSON to `/api/v1/errors/`, and return the response."""
        return self.client.post(
            "/api/v1/errors/",
            data=body if isinstance(body, bytes) else json.dumps(body),
            content_type="application/json",
            headers=headers or {"Authorization": f"Bearer {self.key}"},
        )


def envelope(event: dict[str, Any], *, header: dict[str, Any] | None = None) -> bytes:
    payload = json.dumps(event).encode()
    first = json.dumps(header or {}).encode()
    return b"%b\n" % first + b'{"type":"event","length":%d}\n' % len(payload) + payload + b"\n"


def raised(
    kind: str = "ValueError", value: str = "bad seat", function: str = "hold", **more: Any
) -> dict[str, Any]:
    """Return a Python event as sentry-sdk sends it."""
    frames = [
        {"module": "django.core.handlers", "function": "inner", "filename": "django/core/handlers/base.py", "in_app": False, "lineno": 1},
        {"module": "shop.views", "function": function, "filename": "shop/views.py", "in_app": True, "lineno": 12, "context_line": "    hold(seat)"},
    ]  # fmt: skip
    return {
        "platform": "python",
        "level": "error",
        "exception": {"values": [{"type": kind, "value": value, "stacktrace": {"frames": frames}}]},
        **more,
    }
