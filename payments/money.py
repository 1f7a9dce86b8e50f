"""Rules about amounts: integers in the currency's smallest unit. Pure."""

from decimal import Decimal

from core.lib.formats import THREE_DECIMAL, ZERO_DECIMAL, money

MAX_AMOUNT = 99_999_999  # Stripe accepts up to eight digits


def find_amount_problem(
    amount: int, currency: str, *, currencies: list[str], minimums: dict[str, int]
) -> str:
    """Return the reason why the amount cannot be charged, or ""."""
    if currency not in currencies:
        return f"payments in {currency[:10]} are not accepted"
    if not 0 < amount <= MAX_AMOUNT:
        return f"the amount must be from 1 to {MAX_AMOUNT} in the currency's smallest unit"
    if amount < minimums.get(currency, 1):
        return f"the minimum amount is {money(minimums[currency], currency)}"
    # https://docs.stripe.com/currencies#three-decimal
    if currency in THREE_DECIMAL and amount % 10:
        return f"the last digit of an amount in {currency} must be 0: Stripe uses two of its three decimals"
    return ""


def format_amounts(sums: dict[str, int]) -> str:
    """Return the amounts side by side, sorted by currency. Currencies are never added up."""
    return ", ".join(money(amount, currency) for currency, amount in sorted(sums.items()))


def decimal_places(currency: str) -> int:
    """Return the number of decimals in which amounts of this currency are written."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def to_decimal(amount: int, currency: str) -> Decimal:
    """Convert from the smallest unit."""
    return Decimal(amount).scaleb(-decimal_places(currency))


def from_decimal(amount: Decimal, currency: str) -> int | None:
    """Convert to the smallest unit. Return None if the amount has more decimals than the currency."""
    scaled = amount.scaleb(decimal_places(currency))
    return int(scaled) if scaled == scaled.to_integral_value() else None
