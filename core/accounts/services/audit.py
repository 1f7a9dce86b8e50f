"""Write the audit log of sign-ins and of all writes by signed-in users."""

import logging
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import DatabaseError
from django.db.models.signals import post_save
from django.utils import timezone

from core.accounts.models import AuditEvent
from core.lib import app_access, request_id

log = logging.getLogger(__name__)

RETENTION = timedelta(days=400)
# Actions recorded during the current request, or None outside of requests. If there are any, the middleware adds no
# event of its own, because that event would have fewer details.
recorded_actions: ContextVar[list[str] | None] = ContextVar("audit_recorded", default=None)


def record(
    user: Any,
    action: str,
    *,
    target: str = "",
    detail: str = "",
    status: int | None = None,
    now: datetime | None = None,
) -> None:
    """Store an audit event. Without `user`, the event names the person whose session or token the request has, if any.

    If the database cannot store the event, it is written to the log instead, and the action itself is not undone.
    """
    user = user or app_access.user_of_reader()
    is_known = getattr(user, "pk", None) is not None
    event = AuditEvent(
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
        event.save()
    except DatabaseError:
        facts = {"action": action, "target": target, "user_id": user.pk if is_known else None}
        log.exception("an audit event was not stored", extra=facts)
    recorded = recorded_actions.get()
    if recorded is not None:
        recorded.append(action)


def prune(*, now: datetime, limit: int = 5000) -> int:
    """Delete at most `limit` events that are older than RETENTION, and return the number deleted."""
    return AuditEvent.objects.prune(before=now - RETENTION, limit=limit)


# --- Django's signals ------------------------------------------------------------------------------------

_ACTION_VERBS = {ADDITION: "added", CHANGE: "changed", DELETION: "deleted"}


def _record_admin_change(instance: LogEntry, created: bool, **_: Any) -> None:
    """Record the names of the fields that a user changed in the admin.

    The text of the changed object is left out, because it may contain personal data.
    """
    if not created:
        return
    kind = instance.content_type.model if instance.content_type else "object"
    app = instance.content_type.app_label if instance.content_type else ""
    record(
        instance.user,
        f"{app}.{kind} {_ACTION_VERBS.get(instance.action_flag, 'changed')}",
        target=f"{kind} {instance.object_id}",
        detail=instance.get_change_message() if instance.is_change() else "",
    )


def _record_sign_in(user: User, **_: Any) -> None:
    record(user, "signed in")


def _record_sign_out(user: User | None, **_: Any) -> None:
    if user is not None:
        record(user, "signed out")


def _record_failed_sign_in(credentials: dict[str, Any], **_: Any) -> None:
    """Record a failed attempt for an existing user. Unknown names may be mistyped passwords and are not recorded."""
    name = str(credentials.get("username", "")).replace("\x00", "")
    user = User.objects.filter(username=name).first()
    if user is not None:
        record(user, "sign-in failed")


def connect_signals() -> None:
    post_save.connect(_record_admin_change, sender=LogEntry, dispatch_uid="access.audit.admin")
    user_logged_in.connect(_record_sign_in, dispatch_uid="access.audit.in")
    user_logged_out.connect(_record_sign_out, dispatch_uid="access.audit.out")
    user_login_failed.connect(_record_failed_sign_in, dispatch_uid="access.audit.failed")
