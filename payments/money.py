"""Rules about amounts: integers in the currency's smallest unit. Pure."""

from decimal import Decimal

from core.lib.formats import THREE_DECIMAL, ZERO_DECIMAL, money

MAX_AMOUNT = 99_999_999  # Stripe takes eight digits


def amount_problem(
    amount: int, currency: str, *, currencies: list[str], minimums: dict[str, int]
) -> str:
    """Why this cannot be charged, or ""."""
    if currency not in currencies:
        return f"payments in {currency[:10]} are not taken here"
    if not 0 < amount <= MAX_AMOUNT:
        return f"an amount is from 1 to {MAX_AMOUNT} in the currency's smallest unit"
    if amount < minimums.get(currency, 1):
        return f"the least that can be charged is {money(minimums[currency], currency)}"
    # https://docs.stripe.com/currencies#three-decimal
    if currency in THREE_DECIMAL and amount % 10:
        return f"an amount in {currency} ends with 0: the last of its three decimals is not used"
    return ""


def money_sums(sums: dict[str, int]) -> str:
    """Several currencies side by side: they are never added up."""
    return ", ".join(money(amount, currency) for currency, amount in sorted(sums.items()))


def places(currency: str) -> int:
    """How many decimals people write."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def to_decimal(amount: int, currency: str) -> Decimal:
    return Decimal(amount).scaleb(-places(currency))


def from_decimal(amount: Decimal, currency: str) -> int | None:
    """In the smallest unit; None when there are more decimals than the currency has."""
    scaled = amount.scaleb(places(currency))
    return int(scaled) if scaled == scaled.to_integral_value() else None
