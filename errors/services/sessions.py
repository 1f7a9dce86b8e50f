"""Count the sessions and users of releases in memory, and write the sums every few seconds.

A killed process loses the counts of a few seconds. Events themselves are never buffered in this way.
"""

import threading
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction
from django.utils import timezone

from core.clients.models import ClientApp
from core.lib.background import chore
from core.lib.customers import pseudonym
from core.lib.upsert import upsert
from core.releases.models import Release, ReleaseSessions, ReleaseUser
from core.releases.services import ensure_release
from errors.models import hour_of
from errors.services.release_counts import MAX_RELEASES_PER_APP

MAX_WAITING = 20_000
_Version = tuple[int, str]  # Consists of the app's id and the release's version.
_OUTCOMES = ("started", "errored", "crashed", "abnormal")


@dataclass(frozen=True)
class Sessions:
    """One session of a release in an environment, or the sum of several sessions."""

    release: str
    environment: str = ""
    started: int = 0
    errored: int = 0
    crashed: int = 0
    abnormal: int = 0
    user: str = ""


_counts: dict[tuple[_Version, str, int], list[int]] = {}
_users: dict[tuple[_Version, str], tuple[int, datetime]] = {}
_lock = threading.Lock()


def count(app: ClientApp, sessions: Sessions, *, now: datetime) -> None:
    """Count sessions. Sessions without a release, or beyond MAX_WAITING buffered sums, are dropped."""
    if not sessions.release:
        return
    version = (app.pk, sessions.release)
    with _lock:
        if len(_counts) + len(_users) >= MAX_WAITING:
            return
        sums = _counts.setdefault(
            (version, sessions.environment, hour_of(now)), [0] * len(_OUTCOMES)
        )
        for place, name in enumerate(_OUTCOMES):
            sums[place] += getattr(sessions, name)
        if sessions.user:
            key = (version, pseudonym(sessions.user))
            crashed, _ = _users.get(key, (0, now))
            _users[key] = (max(crashed, int(sessions.crashed > 0)), now)
    if connection.in_atomic_block:  # Callers in a transaction expect to read the rows immediately.
        flush()


@chore("errors.services.sessions", seconds=2)
def flush() -> int:
    """Add the buffered sums to the database and return the number of rows. If this fails, keep the sums and raise."""
    with _lock:
        counts, users = dict(_counts), dict(_users)
        _counts.clear()
        _users.clear()
    if not counts:
        return 0
    try:
        with transaction.atomic():
            return _write(counts, users)
    except Exception:
        _restore(counts, users)
        raise


def _write(
    counts: dict[tuple[_Version, str, int], list[int]],
    users: dict[tuple[_Version, str], tuple[int, datetime]],
) -> int:
    releases = {version: _release_id(version) for version, _, _ in counts}
    rows = [
        {"release": found, "environment": environment, "hour": hour}
        | dict(zip(_OUTCOMES, sums, strict=True))
        for (version, environment, hour), sums in counts.items()
        if (found := releases.get(version)) is not None
    ]
    upsert(ReleaseSessions, rows, key=["release", "environment", "hour"], add=_OUTCOMES)
    upsert(
        ReleaseUser,
        [
            {"release": found, "user_key": user, "crashed": crashed, "last_seen_at": at}
            for (version, user), (crashed, at) in users.items()
            if (found := releases.get(version)) is not None
        ],
        key=["release", "user_key"],
        greatest=["crashed", "last_seen_at"],
    )
    return len(rows)


def _release_id(version: _Version) -> int | None:
    app = ClientApp.objects.filter(pk=version[0]).first()
    known = Release.objects.filter(app=version[0], version=version[1]).values_list("pk", flat=True)
    if (found := known.first()) is not None or app is None:
        return found
    if Release.objects.filter(app=app).count() >= MAX_RELEASES_PER_APP:
        return None
    return ensure_release(app=app, version=version[1], now=timezone.now()).pk


def _restore(
    counts: dict[tuple[_Version, str, int], list[int]],
    users: dict[tuple[_Version, str], tuple[int, datetime]],
) -> None:
    with _lock:
        for key, sums in counts.items():
            known = _counts.setdefault(key, [0] * len(_OUTCOMES))
            for place, number in enumerate(sums):
                known[place] += number
        for user, (crashed, at) in users.items():
            later, _ = _users.get(user, (0, at))
            _users[user] = (max(crashed, later), at)
