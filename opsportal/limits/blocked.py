"""Who was refused, counted in memory by the minute and written down in the background."""

import hashlib
import hmac
import logging
import threading
from datetime import datetime

from django.conf import settings
from django.db import transaction

from opsportal.lib import background
from opsportal.lib.upsert import upsert
from opsportal.limits.models import BlockedCall

log = logging.getLogger(__name__)

MOST_SUBJECTS = 500  # a flood from many addresses is one row beyond these
OTHERS = "others"

_lock = threading.Lock()
_counts: dict[tuple[datetime, str, str], tuple[int, str]] = {}


def subject_of_address(network: str) -> str:
    """An address as it may be stored: a keyed hash, which tells repeated calls but not whose they are."""
    key = settings.SECRET_KEY.encode()
    return f"address:{hmac.new(key, network.encode(), hashlib.sha256).hexdigest()[:12]}"


def record(*, tier: str, subject: str, path: str, now: datetime) -> None:
    """`subject` is "app:…", "user:…" or "address:…" with the plain network, which is hashed here."""
    if subject.startswith("address:"):
        subject = subject_of_address(subject.removeprefix("address:"))
    minute = now.replace(second=0, microsecond=0)
    with _lock:
        key = (minute, tier, subject)
        if key not in _counts and len(_counts) >= MOST_SUBJECTS:
            key = (minute, tier, OTHERS)
        count, _ = _counts.get(key, (0, ""))
        _counts[key] = (count + 1, path[:200])


@background.chore("rate limits: blocked calls", seconds=5)
def write_down() -> int:
    """Adds what was counted to the rows. What cannot be written is dropped, and the log says so."""
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
        log.warning("calls blocked", extra=facts)
    with transaction.atomic():
        upsert(
            BlockedCall, rows, key=("minute", "tier", "subject"), add=("count",), replace=("path",)
        )
    return len(rows)
