"""Report events with an unmodified sentry-sdk: `python_sdk.py DSN`."""

import logging
import sys

import sentry_sdk


def charge(order_id: str, amount: int) -> None:
    coupon = {"code": "SPRING", "percent": 10}
    raise ValueError(f"cannot charge {amount} for {order_id} with {coupon['code']}")


def main() -> None:
    sentry_sdk.init(
        dsn=sys.argv[1], release="shop@2.1.0", environment="test", traces_sample_rate=1.0,
        enable_tracing=True, auto_session_tracking=True, enable_logs=True, shutdown_timeout=10,
    )  # fmt: skip
    sentry_sdk.set_tag("checkout", "express")
    sentry_sdk.set_user({"id": "u-42", "email": "planted.person@shop.example"})
    sentry_sdk.add_breadcrumb(category="cart", message="seat added", level="info")
    # The SDK turns this log record into a breadcrumb.
    logging.getLogger("shop").warning("stock is low")
    sentry_sdk.logger.info("order {order_id} paid", order_id="o-77")
    with sentry_sdk.start_transaction(op="task", name="nightly import"):
        pass
    try:
        charge("order-77", 4200)
    except ValueError as error:
        print("exception", sentry_sdk.capture_exception(error))
    print("message", sentry_sdk.capture_message("a plain message", level="fatal"))
    sentry_sdk.flush(10)


if __name__ == "__main__":
    main()
