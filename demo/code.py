"""The shop's own code, with the bugs it has. Errors come from really running it, so stack traces, locals and
breadcrumbs are real."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import sentry_sdk


@dataclass
class Basket:
    order_id: str
    user_id: str
    items: dict[str, int] = field(default_factory=dict)
    voucher: str = ""


VOUCHERS = {"WELCOME10": 10, "STAFF": 100}
EXCHANGE_RATES = {"EUR": 1.0, "CHF": 0.94}


def apply_voucher(basket: Basket, total: int) -> int:
    sentry_sdk.add_breadcrumb(category="checkout", message="voucher entered", level="info")
    percent = VOUCHERS[basket.voucher]  # a code from last year's flyer is not in here
    return total - total * percent // 100


def price_in(currency: str, total: int) -> int:
    return round(total * EXCHANGE_RATES[currency])


def ticket_pdf(basket: Basket) -> bytes:
    pages = [f"{name} x {count}" for name, count in basket.items.items()]
    return pages[0].encode()  # an empty basket has no first page


def read_gate_answer(answer: str) -> int:
    sentry_sdk.add_breadcrumb(category="http", message="GET /gate/7/state", level="info")
    return int(answer.split(";")[1])


def ask_for_payment(basket: Basket) -> None:
    sentry_sdk.add_breadcrumb(category="http", message="POST /v1/payment_intents", level="info")
    raise TimeoutError("payment provider did not answer within 10 s")


BUGS: list[Callable[[Basket], object]] = [
    lambda basket: apply_voucher(basket, 9000),
    lambda basket: price_in("DKK", 4500),
    lambda basket: ticket_pdf(Basket(basket.order_id, basket.user_id)),
    lambda basket: read_gate_answer("gate 7: closed"),
]


def something_that_fails(basket: Basket) -> None:
    """Run one of the bugs, the common ones more often."""
    random.choices(BUGS, weights=[6, 3, 2, 3])[0](basket)
