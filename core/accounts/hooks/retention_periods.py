"""Declare the retention periods of the audit log and of sessions."""

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings

from core.accounts.services.audit import RETENTION
from core.lib.retention import Kept, keeps


@keeps("accounts")
def kept() -> Iterator[Kept]:
    yield Kept("Audit log", RETENTION)
    yield Kept(
        "Sessions of staff",
        timedelta(seconds=settings.SESSION_COOKIE_AGE),
        "SESSION_COOKIE_AGE",
        "A session also ends when its user signs out.",
    )
