"""Show sales at the top of the system-health page."""

from datetime import timedelta

from core.lib import formats
from core.lib.charts import Chart, Series
from core.lib.currencies import currency_of
from health.extension_points import Reading, WidgetContext, overview_figure
from health.queries.resolutions import resolution_for
from payments.queries import stats

_HOUR, _WEEK = timedelta(hours=1), timedelta(weeks=1)


@overview_figure(
    "payments.sales",
    label="Sales",
    order=50,
    url_name="payments:overview",
    on_timeline=True,
    is_less_better=False,
    respects_apps=True,
)
def sales(context: WidgetContext) -> Reading:
    """Return the money received for payments of the last hour, in the currency of most recent payments.

    The note lists the amounts in other currencies. The value is None if there were no payments in 30 days.
    """
    now = context.now
    resolution = resolution_for(context.range)
    by_slot = stats.received_per_slot(context.since, now, width=resolution.slot)
    last_hour = stats.received_by_currency(now - _HOUR, now)
    currency = stats.main_currency(now)
    hour_a_week_ago = resolution_for(_WEEK).floor(now - _WEEK)
    week_ago = stats.received_by_currency(hour_a_week_ago, hour_a_week_ago + _HOUR)
    others = [
        formats.money(amount, other)
        for other, amount in sorted(last_hour.items())
        if other != currency and amount
    ]
    if not currency:
        return Reading(None, note="no payments yet")
    unit = currency_of(currency)
    return Reading(
        last_hour.get(currency, 0),
        text=formats.money(last_hour.get(currency, 0), currency),
        note="and " + ", ".join(others) if others else "in the last hour",
        week_ago=week_ago.get(currency, 0),
        week_ago_text=formats.money(week_ago.get(currency, 0), currency),
        chart=Chart(
            title="Sales",
            times=resolution.slots(context.since, now),
            series=[
                Series(
                    "Received",
                    [
                        float(unit.to_decimal(by_slot.get((slot, currency), 0)))
                        for slot in resolution.slots(context.since, now)
                    ],
                    kind="bars",
                    tone="ok",
                )
            ],
            unit=unit.code,
        ),
    )
