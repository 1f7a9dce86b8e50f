"""Money as Stripe counts it: integers in the currency's smallest unit. Pure."""

from decimal import Decimal

# https://docs.stripe.com/currencies#zero-decimal, #three-decimal
ZERO_DECIMAL = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"}
    | {"PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"}
)
THREE_DECIMAL = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
MAX_AMOUNT = 99_999_999  # Stripe takes eight digits


def decimals(currency: str) -> int:
    currency = currency.upper()
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


def to_decimal(amount: int, currency: str) -> Decimal:
    return Decimal(amount).scaleb(-decimals(currency))


def format_money(amount: int, currency: str) -> str:
    """`format_money(123450, "EUR")` is "1,234.50 EUR"; never without its currency."""
    return f"{to_decimal(amount, currency):,.{decimals(currency)}f} {currency.upper()}"


def format_sums(sums: dict[str, int]) -> str:
    """Several currencies side by side: they are never added up."""
    return ", ".join(format_money(amount, currency) for currency, amount in sorted(sums.items()))
