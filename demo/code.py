"""Run the demo shop's code, which has deliberate bugs.

The reported errors therefore have real stack traces, locals and breadcrumbs.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import sentry_sdk


@dataclass
class Basket:
    order_id: str
    user_id: str
    items: dict[str, int] = field(default_factory=dict)
    voucher: str = ""


VOUCHERS = {"WELCOME10": 10, "STAFF": 100}
EXCHANGE_RATES = {"EUR": 1.0, "CHF": 0.94}
ORDER_DISCOUNTS: dict[str, int] = {}


def apply_voucher(basket: Basket, total: int) -> int:
    sentry_sdk.add_breadcrumb(category="checkout", message="voucher entered", level="info")
    percent = VOUCHERS[basket.voucher]  # This raises KeyError for an expired voucher code.
    return total - total * percent // 100


def price_in(currency: str, total: int) -> int:
    return round(total * EXCHANGE_RATES[currency])


def ticket_pdf(basket: Basket) -> bytes:
    pages = [f"{name} x {count}" for name, count in basket.items.items()]
    return pages[0].encode()  # This raises IndexError for an empty basket.


def parse_gate_state(response: str) -> int:
    sentry_sdk.add_breadcrumb(category="http", message="GET /gate/7/state", level="info")
    return int(response.split(";")[1])


def request_payment(basket: Basket) -> None:
    sentry_sdk.add_breadcrumb(category="http", message="POST /v1/payment_intents", level="info")
    raise TimeoutError("payment provider did not respond within 10 s")


def confirm_order(basket: Basket) -> int:
    """Return the price after the discount. This is the bug of the story's bad release: it fails without a discount."""
    sentry_sdk.add_breadcrumb(category="checkout", message="order confirmed", level="info")
    price = 100
    discount: Any = ORDER_DISCOUNTS.get(basket.order_id)
    return int(price - discount)


BUGS: list[Callable[[Basket], object]] = [
    lambda basket: apply_voucher(basket, 9000),
    lambda basket: price_in("DKK", 4500),
    lambda basket: ticket_pdf(Basket(basket.order_id, basket.user_id)),
    lambda basket: parse_gate_state("gate 7: closed"),
]


def run_buggy_code(basket: Basket) -> None:
    """Run a randomly chosen function with a bug. Some are chosen more often, so that error groups differ in size."""
    random.choices(BUGS, weights=[6, 3, 2, 3])[0](basket)
