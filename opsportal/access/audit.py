"""The audit log: every write by somebody who is signed in, and every sign-in. Kept `KEEP`, then pruned."""

import logging
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import DatabaseError
from django.db.models.signals import post_save
from django.utils import timezone

from opsportal.access.models import AuditEvent
from opsportal.lib import request_id

log = logging.getLogger(__name__)

KEEP = timedelta(days=400)
# Set to a list by the middleware: that something in this request was recorded with more detail than it could.
recorded_here: ContextVar[list[str] | None] = ContextVar("audit_recorded", default=None)


def record(
    user: Any,
    action: str,
    *,
    target: str = "",
    detail: str = "",
    status: int | None = None,
    now: datetime | None = None,
) -> None:
    """Write one line. A database that is away does not undo what was done; the log has the line then."""
    is_known = getattr(user, "pk", None) is not None
    line = AuditEvent(
        at=now or timezone.now(),
        user=user if is_known else None,
        username=user.get_username()[:150] if is_known else "",
        action=action[:100],
        target=target[:200],
        detail=detail[:500],
        status=status,
        request_id=request_id.current()[:128],
    )
    try:
        line.save()
    except DatabaseError:
        facts = {"action": action, "target": target, "user_id": user.pk if is_known else None}
        log.exception("audit event not stored", extra=facts)
    recorded = recorded_here.get()
    if recorded is not None:
        recorded.append(action)


def prune(*, now: datetime, limit: int = 5000) -> int:
    """Delete what is older than KEEP, at most `limit` rows. Returns how many."""
    old = AuditEvent.objects.filter(at__lt=now - KEEP).order_by("at")
    ids = list(old.values_list("pk", flat=True)[:limit])
    return AuditEvent.objects.filter(pk__in=ids).delete()[0]


# --- heard from Django -----------------------------------------------------------------------------------

_FLAGS = {1: "added", 2: "changed", 3: "deleted"}


def _admin_change(instance: LogEntry, created: bool, **_: Any) -> None:
    """The admin's own history knows which fields were changed; the object's text may hold personal data and is not kept."""
    if not created:
        return
    kind = instance.content_type.model if instance.content_type else "object"
    app = instance.content_type.app_label if instance.content_type else ""
    record(
        instance.user,
        f"{app}.{kind} {_FLAGS.get(instance.action_flag, 'touched')}",
        target=f"{kind} {instance.object_id}",
        detail=instance.get_change_message() if instance.is_change() else "",
    )


def _signed_in(user: User, **_: Any) -> None:
    record(user, "signed in")


def _signed_out(user: User | None, **_: Any) -> None:
    if user is not None:
        record(user, "signed out")


def _sign_in_failed(credentials: dict[str, Any], **_: Any) -> None:
    """Only for people who exist: what else is typed as a name may be a password."""
    name = str(credentials.get("username", "")).replace("\x00", "")
    user = User.objects.filter(username=name).first()
    if user is not None:
        record(user, "sign-in failed")


def listen() -> None:
    post_save.connect(_admin_change, sender=LogEntry, dispatch_uid="access.audit.admin")
    user_logged_in.connect(_signed_in, dispatch_uid="access.audit.in")
    user_logged_out.connect(_signed_out, dispatch_uid="access.audit.out")
    user_login_failed.connect(_sign_in_failed, dispatch_uid="access.audit.failed")
