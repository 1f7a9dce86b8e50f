from datetime import UTC, datetime, timedelta

import pytest

from core.lib import formats

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (123450, "eur", "1,234.50 EUR"),
        (5, "USD", "0.05 USD"),
        (1500, "jpy", "1,500 JPY"),
        (1234567, "kwd", "1,234.567 KWD"),
        (-990, "eur", "-9.90 EUR"),
        (10**17 + 1, "eur", "1,000,000,000,000,000.01 EUR"),
        (None, "eur", formats.NONE),
    ],
)
def test_money_has_the_decimals_of_its_currency(
    amount: int | None, currency: str, text: str
) -> None:
    assert formats.money(amount, currency) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (1234, "1.2k"), (999_960, "1.0M"), (250_000, "250k"), (3.4e6, "3.4M")],
)
def test_compact_numbers_are_abbreviated(value: float, text: str) -> None:
    assert formats.compact(value) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(3.25, "3.25 ms"), (320, "320 ms"), (1240, "1.24 s"), (9e4, "1.5 min")],
)
def test_durations_are_shown_in_a_suitable_unit(milliseconds: float, text: str) -> None:
    assert " ".join(formats.split_milliseconds(milliseconds)) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1500, "1.5 kB"), (8e9, "8 GB"), (2.5e12, "2.5 TB")]
)
def test_sizes_are_shown_in_a_suitable_unit(size: float, text: str) -> None:
    assert " ".join(formats.split_size(size)) == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(days=3, hours=4, minutes=9), "3 d 4 h"),
        (150, "2 min 30 s"),
        (86_400, "1 d"),
        (0.25, "250 ms"),
        (0, "0 s"),
    ],
)
def test_spans_show_their_two_largest_units(length: timedelta | float, text: str) -> None:
    assert formats.span(length) == text


@pytest.mark.parametrize(
    ("distance", "text"),
    [
        (timedelta(seconds=4), "just now"),
        (timedelta(seconds=59), "59 s ago"),
        (timedelta(minutes=14), "14 min ago"),
        (timedelta(hours=30), "30 h ago"),
        (timedelta(days=3), "3 d ago"),
        (-timedelta(hours=2), "in 2 h"),
    ],
)
def test_ages_use_one_unit(distance: timedelta, text: str) -> None:
    assert formats.ago(NOON - distance, NOON) == text


@pytest.mark.parametrize(
    ("distance", "text"),
    [
        (timedelta(seconds=43), "in 43 s"),
        (timedelta(seconds=4), "in 4 s"),
        (timedelta(hours=7, minutes=59), "in 7 h"),
        (timedelta(0), "due now"),
        (-timedelta(minutes=3), "due now"),
    ],
)
def test_the_next_run_is_never_in_the_past(distance: timedelta, text: str) -> None:
    assert formats.until(NOON + distance, NOON) == text


def test_a_stamp_shows_its_time_zone() -> None:
    assert formats.stamp(NOON) == "22 Nov 2026, 12:00:00 UTC"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1, "errors", "1 error"),
        (1, "people", "1 person"),
        (1, "times", "1 time"),
        (1.5, "errors", "1.5 errors"),
        (0, "errors", "0 errors"),
        (2, "people", "2 people"),
        (1, "s", "1 s"),
        (1, "ms", "1 ms"),
        (1, "%", "1 %"),
        (1, "status", "1 status"),
        (1, "", "1"),
    ],
)
def test_a_quantity_of_one_is_singular(value: float, unit: str, text: str) -> None:
    assert formats.quantity(value, unit) == text
