"""Keep a list of the browsers where people are signed in, and end their sessions."""

import re
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.utils import timezone

from core.accounts.models import UserSession
from core.lib.addresses import address_of
from core.lib.buffer import Buffer, OnFailure

MARK = "access.session"  # A session stores the id of its UserSession under this key.
# People may change their passkeys within this time after they signed in.
RECENT = timedelta(minutes=10)

_BROWSERS = (
    (r"\bEdgA?/", "Edge"),
    (r"\bOPR/", "Opera"),
    (r"\bFirefox/|\bFxiOS/", "Firefox"),
    (r"Chrome/|\bCriOS/", "Chrome"),
    (r"\bSafari/", "Safari"),
)
_SYSTEMS = (
    (r"Windows", "Windows"),
    (r"Android", "Android"),
    (r"iPhone|iPad", "iOS"),
    (r"Mac OS X|Macintosh", "macOS"),
    (r"Linux", "Linux"),
)


def describe_device(user_agent: str) -> str:
    """Return the browser and the system in words, such as "Firefox on Linux"."""
    browser = next((name for pattern, name in _BROWSERS if re.search(pattern, user_agent)), "")
    system = next((name for pattern, name in _SYSTEMS if re.search(pattern, user_agent)), "")
    if not browser and not system:
        return "Unknown device"
    return f"{browser or 'A browser'} on {system}" if system else browser


def track(request: HttpRequest, user: User, *, now: datetime, signed_in_at: datetime) -> None:
    """Record that this request's session belongs to the user: add a row, or update the key of a known session.

    When a person signs in, Django changes the key of the session to prevent session fixation, and keeps its data.
    """
    session = request.session
    known = UserSession.objects.filter(pk=session.get(MARK, 0), user=user)
    if known.exclude(session_key=session.session_key).update(session_key=session.session_key):
        return
    if known.exists():
        return
    row, _ = UserSession.objects.update_or_create(
        session_key=session.session_key,
        defaults={
            "user": user,
            "device": describe_device(request.headers.get("User-Agent", "")),
            "address": address_of(request),
            "created_at": signed_in_at,
            "last_seen_at": now,
        },
    )
    session[MARK] = row.pk


def track_older(request: HttpRequest, user: User, *, now: datetime) -> None:
    """Record a session that has no row yet. It does not count as recent, because its sign-in time is unknown."""
    signed_in_at = min(user.last_login or now, now - RECENT)
    track(request, user, now=now, signed_in_at=signed_in_at)


def is_recent(request: HttpRequest, *, now: datetime) -> bool:
    """Return True if the person signed in recently. Later, another person might be using the unlocked screen."""
    row = UserSession.objects.filter(pk=request.session.get(MARK, 0)).first()
    return row is not None and row.created_at > now - RECENT


def end(rows: "UserSession | list[UserSession]") -> int:
    """End sessions, so that their next request is not signed in. Return the number of sessions ended."""
    ended = rows if isinstance(rows, list) else [rows]
    Session.objects.filter(session_key__in=[row.session_key for row in ended]).delete()
    UserSession.objects.filter(pk__in=[row.pk for row in ended]).delete()
    return len(ended)


def prune() -> int:
    """Delete the rows of sessions that have ended or expired. Return the number deleted."""
    live = Session.objects.filter(expire_date__gt=timezone.now()).values("session_key")
    return UserSession.objects.exclude(session_key__in=live).delete()[0]


def _write(uses: dict[int, datetime]) -> None:
    UserSession.objects.filter(pk__in=uses).update(last_seen_at=max(uses.values()))


session_uses = Buffer[int, datetime](
    "accounts: last use of sessions",
    seconds=60,
    write=_write,
    merge=max,
    max_keys=50_000,
    on_failure=OnFailure.DROP,
)


def _track_sign_in(request: HttpRequest | None, user: User, **_: object) -> None:
    if request is not None and request.session.session_key:
        request.session.pop(MARK, None)
        now = timezone.now()
        track(request, user, now=now, signed_in_at=now)


def connect_signals() -> None:
    user_logged_in.connect(_track_sign_in, dispatch_uid="access.sessions")
