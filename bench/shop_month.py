"""Simulate a month of a shop in a short time with a Stripe double, and count faults, alerts, and cases for staff.

    python -m bench.shop_month [--days 30] [--orders 300] [--faults 0.01]

By default, each kind of fault hits 1 % of the orders. The run fails if an order without a fault has a case or an alert,
if a fault does not cause exactly one case, or if a case is still open a week later. The benchmark uses a new SQLite
database, or DATABASE_URL.
"""

import argparse
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta

START = datetime(2026, 6, 1, 0, 0, tzinfo=UTC)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--orders", type=int, default=300, help="orders per day")
    parser.add_argument(
        "--faults",
        type=float,
        default=0.01,
        help="share of the orders that each kind of fault hits",
    )
    parser.add_argument("--tick", type=int, default=5, help="minutes between two runs of the jobs")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "DJANGO_SETTINGS_MODULE": "opsportal.settings",
            "DATA_DIR": folder,
            "LOG_LEVEL": "CRITICAL",
            "DATABASE_URL": os.environ.get("DATABASE_URL", ""),
        }
        os.environ.update(settings)
        import django

        django.setup()
        return run(options)


def run(options: argparse.Namespace) -> int:
    from django.conf import settings
    from django.core.management import call_command

    from tests.payments.month.report import run_shop
    from tests.payments.stripe_account import StripeAccount
    from tests.payments.stripe_double import StripeDouble

    call_command("migrate", verbosity=0)
    double = StripeDouble(account=StripeAccount())
    settings.STRIPE_SECRET_KEY = "sk_test_double"
    settings.STRIPE_API_BASE = double.base
    started = time.monotonic()
    try:
        report = run_shop(
            double,
            start=START,
            days=options.days,
            orders_per_day=options.orders,
            fault_share=options.faults,
            tick=timedelta(minutes=options.tick),
            seed=options.seed,
        )
    finally:
        double.close()
    print(f"{report.orders:,} orders in {options.days} days; {time.monotonic() - started:,.0f} s")
    for title, counted in (
        ("faults", report.faults),
        ("cases", report.cases),
        ("alerts", report.alerts),
    ):
        print(f"{title}: {sum(counted.values()):,}")
        for name, count in sorted(counted.items()):
            print(f"  {count:>6,}  {name}")
    for title, lines in (("wrong", report.wrong), ("still open", report.open)):
        print(f"{title}: {len(lines)}")
        for line in lines[:50]:
            print(f"  {line}")
    return 1 if report.wrong or report.open else 0


if __name__ == "__main__":
    sys.exit(main())
