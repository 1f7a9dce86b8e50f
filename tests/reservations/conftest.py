"""Provide the Stripe double of tests/payments, through which buyers pay for reservations."""

from tests.payments.conftest import account, account_server, double, fresh_process

__all__ = ["account", "account_server", "double", "fresh_process"]
