"""Describe which part of a reservation a payment is for: the whole unpaid amount, or a declared part."""

from dataclasses import dataclass

from django.db import models


class Purpose(models.TextChoices):
    FULL = "full", "The whole unpaid amount"
    PART = "part", "One of several payments"
    DEPOSIT = "deposit", "Deposit"
    FEE = "fee", "Fee in addition to the reservation's price"

    @property
    def adds_up(self) -> bool:
        """Return True if payments of this purpose are added up until the reservation is paid in full."""
        return self in (Purpose.PART, Purpose.DEPOSIT)


@dataclass(frozen=True)
class Split:
    """An app's explanation of why an amount differs from the price of its reservation."""

    purpose: Purpose = Purpose.FULL
    fee: int = 0  # The fee is a part of the payment's amount that does not pay for tickets.
    discount: int = 0  # The discount reduces the price of the reservation.
    reason: str = ""


NO_SPLIT = Split()


def ticket_share(amount: int, *, purpose: str, fee: int) -> int:
    """Return the part of the amount that pays for tickets."""
    return 0 if purpose == Purpose.FEE else max(0, amount - fee)
