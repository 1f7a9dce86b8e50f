"""Test that the hand-written SQL matches the models."""

from datetime import UTC, datetime

import pytest
from django.db import models

from reservations.models import Line, Reservation, TicketType
from reservations.services.reserve_sql import LINE_COLUMNS, RESERVATION_COLUMNS, select_offers

NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("model", "columns"), [(Reservation, RESERVATION_COLUMNS), (Line, LINE_COLUMNS)]
)
def test_an_insert_names_every_column_that_needs_a_value(
    model: type[models.Model], columns: tuple[str, ...]
) -> None:
    required = {
        field.column
        for field in model._meta.concrete_fields
        if not field.null and not field.primary_key and not field.has_db_default()
    }

    assert set(columns) == required


def test_a_queryset_with_values_is_refused() -> None:
    with pytest.raises(ValueError, match="placeholder"):
        select_offers(TicketType.objects.on_sale(NOON))
