"""Add a section about payments to the weekly report."""

from datetime import datetime

from alerts.extension_points import Fact, report_section
from core.lib import formats
from payments.money import format_amounts
from payments.queries import stats


@report_section("payments", title="Payments", order=150)
def payments_of_the_week(since: datetime, until: datetime) -> list[Fact]:
    attempts, stuck = stats.count_attempts(since), stats.count_stuck(until)
    if not attempts.count:
        return []
    refunded = {one.currency: one.refunded for one in attempts.books if one.refunded}
    return [
        Fact("Received", format_amounts(attempts.received) or "nothing"),
        Fact("Refunded", format_amounts(refunded) or "nothing"),
        Fact("Net", format_amounts({one.currency: one.net for one in attempts.books}) or "nothing"),
        Fact("At risk now", format_amounts(stuck.amounts) or "nothing"),
        Fact("Stuck now", str(stuck.count)),
        Fact("Attempts", formats.number(attempts.count)),
        Fact("Double charges prevented", formats.number(attempts.prevented.count)),
    ]
