"""Rejected requests, counted per minute in memory and written by the background thread."""

import hashlib
import hmac
import logging
import threading
from datetime import datetime

from django.conf import settings
from django.db import transaction

from core.lib import background
from core.lib.upsert import upsert
from core.limits.models import BlockedCall

log = logging.getLogger(__name__)

# Further clients are counted together, so that a flood from many addresses adds one row.
MAX_SUBJECTS = 500
OTHER_SUBJECTS = "others"

_lock = threading.Lock()
_counts: dict[tuple[datetime, str, str], tuple[int, str]] = {}


def subject_of_address(network: str) -> str:
    """Return a keyed hash of an address, which may be stored: it identifies repeated requests but not the client."""
    key = settings.SECRET_KEY.encode()
    return f"address:{hmac.new(key, network.encode(), hashlib.sha256).hexdigest()[:12]}"


def record(*, tier: str, subject: str, path: str, now: datetime) -> None:
    """Count a rejected request. `subject` is "app:…", "user:…", or "address:…", whose address is hashed here."""
    if subject.startswith("address:"):
        subject = subject_of_address(subject.removeprefix("address:"))
    minute = now.replace(second=0, microsecond=0)
    with _lock:
        key = (minute, tier, subject)
        if key not in _counts and len(_counts) >= MAX_SUBJECTS:
            key = (minute, tier, OTHER_SUBJECTS)
        count, _ = _counts.get(key, (0, ""))
        _counts[key] = (count + 1, path[:200])


@background.chore("rate limits: blocked calls", seconds=5)
def write_counts() -> int:
    """Add the counts to the rows, log them, and return the number of rows. Drop counts that cannot be written."""
    global _counts
    with _lock:
        counts, _counts = _counts, {}
    if not counts:
        return 0
    rows = [
        {"minute": minute, "tier": tier, "subject": subject, "count": count, "path": path}
        for (minute, tier, subject), (count, path) in counts.items()
    ]
    for row in rows:
        facts = {key: row[key] for key in ("tier", "subject", "count", "path")}
        log.warning("requests rejected by rate limit", extra=facts)
    with transaction.atomic():
        upsert(
            BlockedCall, rows, key=("minute", "tier", "subject"), add=("count",), replace=("path",)
        )
    return len(rows)
