"""Test the order of texts that contain numbers."""

import pytest

from core.lib.natural import natural_key


@pytest.mark.parametrize(
    "ordered",
    [
        ["Shop 1", "shop 2", "Shop 10", "Shop 100"],
        ["10", "a", "a1", "a1b", "a2"],
        ["", "eu-west-2", "eu-west-10", "Zürich"],
        ["v1.9", "v1.10", "v2"],
    ],
)
def test_numbers_are_ordered_by_value(ordered: list[str]) -> None:
    assert sorted(set(ordered), key=natural_key) == ordered


def test_other_digits_and_long_numbers_can_be_sorted() -> None:
    sorted(["²", "٣ a", "9" * 5000, "1"], key=natural_key)
