"""Handle `POST /api/v1/signals/`, to which apps send batches of measurements."""

import re

import msgspec
from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from core.clients.api import api
from core.clients.models import ClientApp, Scope
from core.lib import ratelimit
from core.lib.durability import ensure_replicated
from core.lib.http import BadRequest, json_response, problem, refuse_nul, too_many_requests
from health.models import SignalBatch
from health.services import record_measurements
from health.signals import Measurement, Name

MAX_SIGNALS = 1_000
_SIGNAL_INDEX = re.compile(r"`\$\.signals\[(\d+)\]")


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    signals: list[Measurement]
    batch_id: Name | None = None


_decoder = msgspec.json.Decoder(Batch)


@api(Scope.METRICS, "POST")
def signals(request: HttpRequest, app: ClientApp) -> HttpResponse:
    """Record all measurements of a batch or none. A batch whose `batch_id` is already known is not recorded again."""
    refuse_nul(request.body)
    try:
        batch = _decoder.decode(request.body)
    except msgspec.ValidationError as error:
        index = _SIGNAL_INDEX.search(str(error))
        return problem(422, str(error), index=int(index[1]) if index else None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from error
    count = len(batch.signals)
    if count > MAX_SIGNALS:
        return problem(413, f"the batch contains {count} signals; the maximum is {MAX_SIGNALS}")
    limit = settings.SIGNALS_PER_MINUTE
    quota = ratelimit.acquire(f"signals:{app.pk}", limit, 60, cost=max(1, count))
    if not quota.allowed:
        return too_many_requests(
            f"the app sent more than {limit} signals per minute", quota.retry_after
        )
    is_new = _record(batch, app)
    return json_response(
        {"accepted": count, "duplicate": not is_new}, status=202 if is_new else 200
    )


def _record(batch: Batch, app: ClientApp) -> bool:
    """Record the batch together with its id in one transaction. Return False if the id is already known."""
    now = timezone.now()
    try:
        with transaction.atomic():
            if batch.batch_id:
                with transaction.atomic():
                    SignalBatch.objects.create(
                        app=app,
                        batch_id=batch.batch_id[:100],
                        received_at=now,
                        accepted=len(batch.signals),
                    )
            record_measurements(batch.signals, app=app, now=now)
    except IntegrityError:
        if SignalBatch.objects.filter(app=app, batch_id=(batch.batch_id or "")[:100]).exists():
            ensure_replicated()
            return False
        raise
    return True
