"""Test that amounts are formatted, parsed and limited as Stripe specifies for each currency."""

from decimal import Decimal

import pytest

from core.lib.currencies import CURRENCIES, currency_of
from core.lib.formats import money
from payments.money import find_amount_problem, find_step_problem

ZERO_DECIMAL = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()  # noqa: SIM905
THREE_DECIMAL = "BHD JOD KWD OMR TND".split()  # noqa: SIM905


@pytest.mark.parametrize("code", sorted(CURRENCIES))
def test_an_amount_is_formatted_in_its_currency(code: str) -> None:
    expected = "5.00"
    amount = 500
    if code in ZERO_DECIMAL:
        expected = "500"
    elif code in THREE_DECIMAL:
        expected = "0.500"
    elif code in ("ISK", "UGX"):
        expected = "5"

    assert money(amount, code) == f"{expected} {code}"
    assert currency_of(code).from_decimal(Decimal(expected)) == amount


@pytest.mark.parametrize("code", sorted(CURRENCIES))
def test_every_acceptable_amount_survives_being_entered_again(code: str) -> None:
    currency = currency_of(code.lower())

    for multiple in (1, 7, 1234):
        amount = multiple * currency.step
        entered = currency.to_decimal(amount)
        assert currency.from_decimal(entered) == amount
        assert -int(entered.normalize().as_tuple().exponent) <= currency.chargeable_decimals


@pytest.mark.parametrize(
    ("amount", "code", "problem"),
    [
        (1050, "ISK", "a multiple of 100, which is 1 ISK"),
        (1050, "UGX", "a multiple of 100, which is 1 UGX"),
        (5124, "KWD", "a multiple of 10, which is 0.010 KWD"),
        (1000, "ISK", ""),
        (5120, "KWD", ""),
        (1045, "HUF", ""),  # Only payouts in HUF and TWD must be whole.
        (1045, "TWD", ""),
        (1045, "EUR", ""),
    ],
)
def test_stripe_accepts_only_multiples_of_the_step(amount: int, code: str, problem: str) -> None:
    assert find_step_problem(amount, code).endswith(problem)
    assert bool(find_step_problem(amount, code)) == bool(problem)


@pytest.mark.parametrize(
    ("amount", "code", "problem"),
    [
        (49, "EUR", "the minimum amount is 0.50 EUR"),
        (17_499, "HUF", "the minimum amount is 175.00 HUF"),
        (17_500, "HUF", ""),
        (49, "COP", "the minimum amount is 0.50 COP"),
        (49, "KRW", "the minimum amount is 50 KRW"),
        (49, "ZAR", "the minimum amount is 0.50 ZAR"),
        (150_000_000, "COP", ""),  # The amount is 1,500,000 COP, about 350 EUR.
        (150_000_000, "HUF", ""),  # The amount is 1,500,000 HUF, about 3,800 EUR.
        (150_000_000, "UGX", ""),  # The amount is 1,500,000 UGX, about 350 EUR.
        (999_999_999_999, "EUR", ""),
        *(
            (amount, "EUR", "the amount must be from 1 to 999999999999 in minor units")
            for amount in (-1, 0, 10**12)
        ),
        (500, "XXX", "payments in XXX are not accepted"),
    ],
)
def test_amounts_have_a_minimum_and_a_maximum(amount: int, code: str, problem: str) -> None:
    found = find_amount_problem(amount, code, currencies=[*CURRENCIES, "XXX"], minimums={})

    assert found == problem


def test_an_owner_can_change_a_minimum() -> None:
    minimums = {"EUR": 100}

    assert find_amount_problem(99, "EUR", currencies=["EUR"], minimums=minimums)
    assert not find_amount_problem(100, "EUR", currencies=["EUR"], minimums=minimums)


def test_a_fraction_of_an_old_payment_is_not_hidden() -> None:
    assert money(4010, "ISK") == "40.10 ISK"
    assert currency_of("ISK").from_decimal(Decimal("40.10")) is None
