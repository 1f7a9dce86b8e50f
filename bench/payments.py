"""Measure payments against the Stripe double: creation, replays of a stored response, and webhooks.

    python -m bench.payments                 on a new SQLite database

Requests go through the whole Django stack in this process (django.test.Client). The rate of the double alone is also
reported, because the portal cannot create payments faster than the double creates intents.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

COUNT = int(os.environ.get("BENCH_COUNT", "200"))
THREADS = 4


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            {
                "DJANGO_SETTINGS_MODULE": "opsportal.settings",
                "DATA_DIR": folder,
                "LOG_LEVEL": "ERROR",
                "DATABASE_URL": os.environ.get("DATABASE_URL", ""),
            }
        )
        import django

        django.setup()
        run()


def run() -> None:
    from django.conf import settings
    from django.core.management import call_command

    from core.clients.models import ApiKey, ClientApp
    from tests.payments.stripe_double import StripeDouble

    call_command("migrate", verbosity=0)
    app = ClientApp.objects.create(slug="bench", name="Bench")
    _, secret = ApiKey.issue(app=app, scopes=["payments"])
    double = StripeDouble()
    try:
        settings.STRIPE_SECRET_KEY = "sk_test_double"
        settings.STRIPE_API_BASE = double.base
        settings.STRIPE_WEBHOOK_SECRETS = [double.secret]
        settings.ALLOWED_HOSTS = ["*"]
        measure(double, secret)
    finally:
        double.close()


def measure(double: object, secret: str) -> None:
    from django.db import connection
    from django.test import Client

    from payments import stripe_api
    from tests.payments.stripe_double import StripeDouble, event

    assert isinstance(double, StripeDouble)
    client = Client(headers={"Authorization": f"Bearer {secret}"})

    def create(number: int) -> None:
        body = {"amount": 2500, "currency": "EUR", "order_id": f"o-{number}"}
        response = client.post(
            "/api/v1/payments/",
            body,
            content_type="application/json",
            headers={"Idempotency-Key": f"k-{number}"},
            REMOTE_ADDR=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
        )
        assert response.status_code == 201, response.content

    def create_intent(number: int) -> None:
        stripe_api.create_intent(
            amount=2500, currency="EUR", metadata={}, description="", key=f"alone-{number}"
        )

    def deliver(number: int) -> None:
        intent = {
            "id": f"pi_{number}",
            "amount": 1,
            "currency": "eur",
            "status": "processing",
            "created": 1,
        }
        body = json.dumps(event("payment_intent.processing", intent))
        signature = stripe_api.sign(body, double.secret, int(time.time()))
        response = client.post(
            "/api/v1/webhooks/stripe/",
            body,
            content_type="application/json",
            headers={"Stripe-Signature": signature},
        )
        assert response.status_code == 200, response.content

    def in_threads(call: Callable[[int], None]) -> float:
        def run_share(thread: int) -> None:
            for number in range(thread, COUNT, THREADS):
                call(number)
            connection.close()

        started = time.perf_counter()
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(run_share, range(THREADS)))
        return COUNT / (time.perf_counter() - started)

    lift_limits()
    double_rate = in_threads(create_intent)
    rate = in_threads(create)
    print(f"{'intents at the double alone, 4 threads':<48} {double_rate:>8,.0f}/s")
    print(
        f"{'create a payment, 4 threads':<48} {rate:>8,.0f}/s  {rate / double_rate:.0%} of the double"
    )
    print(f"{'replay of a stored response, median':<48} {median_ms(create)}")
    print(f"{'webhook, median':<48} {median_ms(deliver)}")


def lift_limits() -> None:
    """Disable the rate limit of payments, which would refuse most requests of a benchmark with one client."""
    from core.limits.models import RateLimitTier, Tier

    RateLimitTier.objects.update_or_create(
        tier=Tier.PAYMENT, app=None, defaults={"limit": 1, "is_enabled": False}
    )


def median_ms(call: Callable[[int], None]) -> str:
    durations_ms, cpu = [], time.process_time()
    for number in range(COUNT):
        started = time.perf_counter()
        call(number)
        durations_ms.append((time.perf_counter() - started) * 1000)
    cpu = 1000 * (time.process_time() - cpu) / COUNT
    return f"{statistics.median(durations_ms):>8.1f} ms  {cpu:.1f} ms CPU each"


if __name__ == "__main__":
    sys.exit(main())
