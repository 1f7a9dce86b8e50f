"""Describe the purpose of a payment's amount: the whole reservation, unless the app declares another purpose."""

from dataclasses import dataclass

from django.db import models


class Purpose(models.TextChoices):
    FULL = "full", "The whole unpaid amount"
    PART = "part", "One of several payments"
    DEPOSIT = "deposit", "Deposit"
    FEE = "fee", "Fee in addition to the reservation's price"

    @property
    def adds_up(self) -> bool:
        """Return True if payments of this purpose are added up until the reservation is paid."""
        return self in (Purpose.PART, Purpose.DEPOSIT)


@dataclass(frozen=True)
class Split:
    """The reason that an app declares for an amount that differs from the price of its reservation."""

    purpose: Purpose = Purpose.FULL
    fee: int = 0  # This part of the payment's amount does not pay for tickets.
    discount: int = 0  # This amount is subtracted from the price of the reservation.
    reason: str = ""


NO_SPLIT = Split()


def ticket_share(amount: int, *, purpose: str, fee: int) -> int:
    """Return the share of an amount that pays for the tickets."""
    return 0 if purpose == Purpose.FEE else max(0, amount - fee)
