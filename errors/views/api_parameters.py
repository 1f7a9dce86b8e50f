"""Read the parameters of the errors API. Each function raises BadRequest if its parameter is invalid."""

import uuid
from datetime import datetime

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from core.clients.models import ClientApp
from core.lib.http import BadRequest
from errors.models import ErrorEvent, ErrorGroup
from errors.queries.search import STATES, search

DEFAULT_LIMIT, MAX_LIMIT = 50, 100


def parameter(request: HttpRequest, name: str) -> str:
    return request.GET.get(name, "").replace("\0", "")[:2_000]


def limit(request: HttpRequest) -> int:
    given = parameter(request, "limit")
    if not given:
        return DEFAULT_LIMIT
    if not (given.isascii() and given.isdecimal() and 1 <= int(given[:9]) <= MAX_LIMIT):
        raise BadRequest(f"`limit` must be a number from 1 to {MAX_LIMIT}", 422)
    return int(given)


def timestamp(request: HttpRequest, name: str) -> datetime | None:
    given = parameter(request, name)
    if not given:
        return None
    try:
        found = datetime.fromisoformat(given.replace(" ", "+"))
        found = found if found.tzinfo else found.replace(tzinfo=timezone.get_current_timezone())
        found.timestamp()
    except (ValueError, OverflowError):
        raise BadRequest(f"`{name}` is not a timestamp such as 2026-11-22T14:00:00Z", 422) from None
    if not 1970 < found.year < 2200:
        raise BadRequest(f"`{name}` is out of range", 422)
    return found


def find_groups(request: HttpRequest, app: ClientApp, *, state: str = "") -> QuerySet[ErrorGroup]:
    """Return the app's groups that match the parameters `query` and `state` of the request.

    `query` has the syntax of the search on the staff page. The argument `state` applies if the request has no state.
    """
    state = parameter(request, "state") or state
    if state not in STATES:
        raise BadRequest(f"`state` must be one of {', '.join(key for key in STATES if key)}", 422)
    found = search(
        parameter(request, "query"),
        groups=ErrorGroup.objects.visible().for_app(app),
        user=AnonymousUser(),
        now=timezone.now(),
        state=state or "unresolved",
    )
    if found.problems:
        raise BadRequest("; ".join(found.problems), 422)
    return found.groups


def get_group(app: ClientApp, group_id: int) -> ErrorGroup:
    groups = ErrorGroup.objects.for_app(app).select_related("assigned_to")
    group = groups.filter(pk=group_id).first() if group_id < 2**63 else None
    if group is None:
        raise BadRequest("the app has no such error", 404)
    return group


def get_event(app: ClientApp, event_id: uuid.UUID) -> ErrorEvent:
    event = ErrorEvent.objects.filter(app=app).with_event_id(event_id).first()
    if event is None:
        raise BadRequest("the app has no such event", 404)
    return event
