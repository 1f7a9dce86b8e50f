"""How the week was, as far as money tells."""

from datetime import datetime

from alerts.reports import Fact, report_section
from opsportal.lib import formats
from payments.queries import stats


@report_section("payments", title="Payments", order=150)
def payments_of_the_week(since: datetime, until: datetime) -> list[Fact]:
    attempts, stuck = stats.attempts(since), stats.stuck(until)
    if not attempts.count:
        return []
    return [
        Fact("Received", _amounts(attempts.received) or "nothing"),
        Fact("At risk now", _amounts(stuck.amounts) or "nothing"),
        Fact("Stuck now", str(stuck.count)),
        Fact("Attempts", formats.number(attempts.count)),
        Fact("Double charges prevented", formats.number(attempts.prevented.count)),
    ]


def _amounts(by_currency: dict[str, int]) -> str:
    return ", ".join(formats.money(amount, code) for code, amount in sorted(by_currency.items()))
