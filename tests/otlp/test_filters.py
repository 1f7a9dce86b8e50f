"""Test that inbound filters apply to exceptions from OpenTelemetry as they do to exceptions from SDKs."""

import pytest

from core.clients.models import ClientApp
from errors.event.filters import Filter
from errors.models import Discarded, ErrorEvent
from errors.services import discarded
from errors.services.filters import switch_on
from tests.otlp.exporting import Exporter, exception, span, spans

pytestmark = pytest.mark.django_db


def test_a_filtered_exception_is_counted_and_not_stored(
    exporter: Exporter, shop: ClientApp
) -> None:
    switch_on(app=shop, kind=Filter.MESSAGES, patterns=["*declined*"])
    dropped = exception("CardError", "card declined")
    kept = exception("KeyError", "seat")

    answer = exporter.json("traces", spans(span(events=[dropped, kept])))

    assert answer == {}
    discarded.discarded_items.flush()
    assert ErrorEvent.objects.get().message == "KeyError: seat"
    row = Discarded.objects.get()
    assert (row.app, row.source, row.category) == (shop, "filter", "error")
    assert (row.reason, row.count) == ("messages", 1)


def test_filtered_exceptions_do_not_use_up_the_quota(exporter: Exporter, shop: ClientApp) -> None:
    shop.events_per_hour = 1
    shop.save()
    switch_on(app=shop, kind=Filter.MESSAGES, patterns=["*declined*"])

    exporter.json("traces", spans(span(events=[exception("CardError", "card declined")])))
    answer = exporter.json("traces", spans(span(events=[exception("KeyError", "seat")])))

    assert answer == {}
    assert ErrorEvent.objects.count() == 1
