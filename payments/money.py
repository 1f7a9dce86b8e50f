"""Check and format amounts of money, which are integers in minor units, as in Stripe's API.

All functions are pure.
"""

from core.lib.currencies import CURRENCIES, MAX_CHARGE, currency_of
from core.lib.formats import money


def find_amount_problem(
    amount: int, currency: str, *, currencies: list[str], minimums: dict[str, int]
) -> str:
    """Return the reason why the amount cannot be charged, or "" if it can.

    `minimums` maps a currency to a minimum that replaces Stripe's.
    """
    if currency not in currencies or currency not in CURRENCIES:
        return f"payments in {currency[:10]} are not accepted"
    rules = currency_of(currency)
    if not 0 < amount <= MAX_CHARGE:
        return f"the amount must be from 1 to {MAX_CHARGE} in minor units"
    minimum = minimums.get(currency, rules.min_charge)
    if amount < minimum:
        return f"the minimum amount is {money(minimum, currency)}"
    return find_step_problem(amount, currency)


def find_step_problem(amount: int, currency: str) -> str:
    """Return the reason why Stripe rejects the last digits of the amount, or "" if it accepts them."""
    step = currency_of(currency).step
    if amount % step:
        return f"an amount in {currency} must be a multiple of {step}, which is {money(step, currency)}"
    return ""


def format_amounts(sums: dict[str, int]) -> str:
    """Return the amounts as text, sorted by currency. The keys of `sums` are currencies."""
    return ", ".join(money(amount, currency) for currency, amount in sorted(sums.items()))
