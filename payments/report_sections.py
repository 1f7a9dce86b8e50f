"""How the week was, as far as money tells."""

from datetime import datetime

from alerts.reports import Fact, report_section
from opsportal.lib import formats
from payments import stats
from payments.models import Payment


@report_section("payments", title="Payments", order=150)
def payments_of_the_week(since: datetime, until: datetime) -> list[Fact]:
    attempts = sum(stats.counts_by_status(since).values())
    if not attempts:
        return []
    prevented = stats.duplicates_prevented(since)
    return [
        Fact("Received", _amounts(stats.received_amounts(since)) or "nothing"),
        Fact("At risk now", _amounts(stats.amounts_at_risk(now=until)) or "nothing"),
        Fact("Stuck now", str(Payment.objects.stuck(until).count())),
        Fact("Attempts", formats.number(attempts)),
        Fact("Double charges prevented", formats.number(prevented.count)),
    ]


def _amounts(by_currency: dict[str, int]) -> str:
    return ", ".join(formats.money(amount, code) for code, amount in sorted(by_currency.items()))
