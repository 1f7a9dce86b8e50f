"""Create a row of every model whose rows belong to an app, with a mark in its texts that tests can find on pages."""

import uuid
from datetime import timedelta
from typing import Any

from django.db.models import Model
from django.utils import timezone

from alerts.models import AlertEvent, Channel, DeliveryAttempt, Notification
from core.clients.models import ApiKey, ClientApp, ClientKey
from core.limits.models import BlockedCall, RateLimitTier
from core.releases.models import Deploy
from core.releases.services import NewCommit, record_deploy, set_commits
from errors.ingest.authentication import Project
from errors.models import Discarded, UserReport
from health.models import CheckIn, CheckResult, Heartbeat, Incident
from impact.models import WinBackList
from logs.models import Level
from logs.records import Record
from logs.services import record_logs
from payments.models import Dispute, Mismatch, Refund, TimelineEntry
from reservations.models import Discrepancy, Line, Reservation, WaitingEntry
from tests.errors.stored import PAYLOAD, make_error
from tests.factories import (
    make_alert,
    make_app,
    make_monitor,
    make_payment,
    make_ticket_type,
    make_webhook_event,
)

Rows = dict[str, Any]


def make_rows(mark: str) -> Rows:
    """Create an app with rows that contain `mark`, and return one row of each model by the model's label."""
    now = timezone.now()
    soon = now + timedelta(hours=1)
    app = make_app(mark, name=f"{mark} app")
    event = _error(app, mark)
    payment = make_payment(
        app=app, order_id=f"{mark}-order", customer=f"{mark}-customer", status="requires_action"
    )
    reservation = Reservation.objects.create(
        app=app, idempotency_key=mark, order_id=f"{mark}-order", customer=f"{mark}-buyer",
        created_at=now, expires_at=soon,
    )  # fmt: skip
    ticket_type = make_ticket_type()
    Line.objects.create(
        reservation=reservation, ticket_type=ticket_type, quantity=1, price=1, currency="EUR"
    )
    monitor = make_monitor(
        f"https://{mark}.example/", app=app, title=f"{mark} monitor", last_message=mark
    )
    heartbeat = Heartbeat.objects.create(
        app=app, kind="heartbeat", name=f"{mark}-job", title=f"{mark} job", slug=f"{mark}-job",
        interval_minutes=60,
    )  # fmt: skip
    alert = make_alert(
        app=app,
        title=f"{mark} alert",
        message=mark,
        metadata={"app": mark},
        source=f"{mark} source",
        labels={"shelf": mark},
    )
    alert.events.create(at=now, kind=AlertEvent.Kind.COMMENT, text=f"{mark} comment")
    channel, _ = Channel.objects.get_or_create(name="Mail", defaults={"kind": "email"})
    notification = Notification.objects.create(
        alert=alert, channel=channel, kind="triggered", stream=mark, idempotency_key=mark, state="sent",
        payload={"title": f"{mark} title"}, created_at=now, due_at=now, next_attempt_at=now, deadline_at=soon,
    )  # fmt: skip
    monitor.status, monitor.last_at, monitor.since = "unhealthy", now, now
    monitor.save()
    CheckResult.objects.create(
        component=monitor, at=now, status="unhealthy", duration_ms=1, message=mark
    )
    record_logs(
        [Record(Level.ERROR, f"{mark} log", now, {"note": mark}, "")],
        project=Project.of(app),
        now=now,
    )
    deploy, _ = record_deploy(
        app=app,
        version=f"{mark}-1.0",
        environment=f"{mark}-live",
        source=Deploy.Source.API,
        name=mark,
        now=now,
    )
    set_commits(deploy.release, [NewCommit("a" * 40, author=mark, message=f"{mark} commit")])
    rows: list[Model] = [
        app,
        event,
        event.group,
        payment,
        reservation,
        monitor,
        heartbeat,
        alert,
        notification,
        deploy,
        deploy.release,
        ticket_type,
        ClientKey.objects.create(app=app, label=f"{mark} key"),
        ApiKey.issue(app=app, scopes=["admin"], label=f"{mark} key")[0],
        RateLimitTier.objects.create(app=app, tier="read", limit=9_999),
        BlockedCall.objects.create(minute=now, tier="read", subject=f"app:{mark}", path="/", count=1),
        Incident.objects.create(component=monitor, title=f"{mark} incident", started_at=now, is_automatic=True),
        CheckIn.objects.create(heartbeat=heartbeat, check_in_id=uuid.uuid4(), at=now, status="ok", output=mark),
        WinBackList.objects.create(kind="group", problem=event.group_id, title=f"{mark} list", created_at=now),
        WaitingEntry.objects.create(app=app, ticket_type=ticket_type, quantity=1, customer=mark, created_at=now),
        Discrepancy.objects.create(
            payment=payment, reservation=reservation, kind="sold_out", detail=mark, opened_at=now
        ),
        Mismatch.objects.create(payment=payment, kind="amount", intent_id=f"pi_{mark}", detail=mark, found_at=now),
        Refund.objects.create(payment=payment, amount=1, reason=mark, asked_at=now),
        TimelineEntry.objects.create(payment=payment, at=now, what=mark),
        Dispute.objects.create(
            payment=payment, stripe_id=f"dp_{mark}", status="needs_response", reason=mark, amount=1, currency="EUR",
            opened_at=now, reported_at=now, evidence_due_at=soon,
        ),
        make_webhook_event(payment=payment, object_id=f"pi_{mark}", outcome=mark, state="dead"),
        UserReport.objects.create(app=app, event_id=event.event_id, message=f"{mark} report", received_at=now),
        Discarded.objects.create(
            app=app, date=now.date(), source="quota", category=mark, count=1, first_at=now, last_at=now
        ),
    ]  # fmt: skip
    DeliveryAttempt.objects.create(
        notification=notification, channel=channel, number=1, started_at=now, answer=mark
    )
    return {row._meta.label: row for row in rows}


def _error(app: ClientApp, mark: str) -> Any:
    now = timezone.now()
    return make_error(
        app,
        group=mark,
        payload={**PAYLOAD, "transaction": mark},
        received_at=now,
        occurred_at=now,
        title=f"{mark} error",
        type=f"{mark}Type",
        culprit=f"{mark} culprit",
        release=f"{mark}-1.0",
        environment=f"{mark}-live",
        user_key=f"{mark}-user",
    )
