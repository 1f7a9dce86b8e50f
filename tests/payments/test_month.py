"""Test a short run of the simulated shop. `python -m bench.shop_month` simulates a month."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.payments.month.faults import FAULTS
from tests.payments.month.report import run_shop
from tests.payments.stripe_double import StripeDouble

START = datetime(2026, 6, 1, 0, 0, tzinfo=UTC)


@pytest.mark.slow
@pytest.mark.django_db
def test_every_fault_of_a_shop_leads_to_one_case_and_every_case_ends(
    double: StripeDouble,
) -> None:
    report = run_shop(
        double,
        start=START,
        days=1,
        orders_per_day=25,
        fault_share=0.02,
        tick=timedelta(minutes=15),
        outage_after=timedelta(hours=26),
    )

    assert report.faults == dict.fromkeys(FAULTS, 1)
    assert report.wrong == []
    assert report.open == []
