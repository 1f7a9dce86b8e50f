"""Count rejected requests per minute in memory. The background thread writes the counts."""

import hashlib
import hmac
import logging
from datetime import datetime

from django.conf import settings
from django.db import transaction

from core.lib.buffer import Buffer, OnFailure
from core.lib.upsert import upsert
from core.limits.models import BlockedCall

log = logging.getLogger(__name__)

# Further clients are counted together as OTHER_SUBJECTS, so that a flood from many addresses adds few rows.
MAX_SUBJECTS = 500
OTHER_SUBJECTS = "others"

_Key = tuple[datetime, str, str]  # The minute, the tier and the subject.
_Calls = tuple[int, str]  # The number of requests and the latest path.


def subject_of_address(network: str) -> str:
    """Return a keyed hash to store instead of an address. It shows repeated requests, but not the address."""
    key = settings.SECRET_KEY.encode()
    return f"address:{hmac.new(key, network.encode(), hashlib.sha256).hexdigest()[:12]}"


def record(*, tier: str, subject: str, path: str, now: datetime) -> None:
    """Count a rejected request. `subject` is "app:…", "user:…" or "address:…". An address is counted under its hash."""
    if subject.startswith("address:"):
        subject = subject_of_address(subject.removeprefix("address:"))
    minute = now.replace(second=0, microsecond=0)
    blocked_calls.add((minute, tier, subject), (1, path[:200]))


def _write(calls: dict[_Key, _Calls]) -> None:
    """Log the counts and add them to the rows."""
    rows = [
        {"minute": minute, "tier": tier, "subject": subject, "count": count, "path": path}
        for (minute, tier, subject), (count, path) in calls.items()
    ]
    for row in rows:
        facts = {key: row[key] for key in ("tier", "subject", "count", "path")}
        log.warning("requests were rejected by a rate limit", extra=facts)
    with transaction.atomic():
        upsert(
            BlockedCall, rows, key=("minute", "tier", "subject"), add=("count",), replace=("path",)
        )


blocked_calls = Buffer[_Key, _Calls](
    "rate limits: blocked calls",
    seconds=5,
    write=_write,
    merge=lambda known, new: (known[0] + new[0], new[1]),
    count_of=lambda calls: calls[0],
    max_keys=MAX_SUBJECTS,
    overflow_key=lambda key: (key[0], key[1], OTHER_SUBJECTS),
    on_failure=OnFailure.DROP,  # Nothing is lost, because the log already contains each count.
)
