"""Provide the Stripe double of the payments' tests, with which reservations are paid."""

from tests.payments.conftest import account, account_server, double, fresh_process

__all__ = ["account", "account_server", "double", "fresh_process"]
