"""Connect stripe-python directly to a StripeAccount without a server, for tests that make thousands of calls."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import stripe
from django.conf import settings

from payments import stripe_api
from tests.payments.stripe_account import StripeAccount


class InProcessClient(stripe.HTTPClient):
    """An HTTP client for stripe-python that calls an account directly and respects idempotency keys."""

    name = "in process"

    def __init__(self, account: StripeAccount) -> None:
        super().__init__()
        self.account = account
        self.replies: dict[str, tuple[str, int]] = {}
        self.is_down = False

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        *,
        _usage: list[str] | None = None,
    ) -> tuple[str, int, dict[str, str]]:
        if self.is_down:
            raise stripe.APIConnectionError("down")  # type: ignore[no-untyped-call]
        key = (headers or {}).get("Idempotency-Key", "") if method.upper() == "POST" else ""
        if key and key in self.replies:
            body, status = self.replies[key]
            return body, status, {"Idempotent-Replayed": "true"}
        parts = urlsplit(url)
        status, answer = self.account.serve(
            method.upper(), parts.path, parts.query or post_data or ""
        )
        body = json.dumps(answer)
        if key:
            self.replies[key] = body, status
        return body, status, {}

    def close(self) -> None:
        pass


@contextmanager
def connected(account: StripeAccount) -> Iterator[InProcessClient]:
    """Connect the portal to the account until the end of the `with` block."""
    transport = InProcessClient(account)
    client = stripe.StripeClient("sk_test_double", http_client=transport)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stripe_api, "_client_for", lambda key, base: client)
        patch.setattr(settings, "STRIPE_SECRET_KEY", "sk_test_double")
        yield transport
