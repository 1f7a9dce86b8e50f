"""Handle GET /api/v1/impact/<kind>/<id>/, which returns the cost of a problem and its possible causes."""

from datetime import datetime
from typing import Annotated

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from core.clients.api import api
from core.clients.auth import NotAllowed, person_of
from core.clients.models import ClientApp, Scope
from core.lib.http import json_response
from core.lib.http import problem as refusal
from impact.causes import Cause
from impact.extension_points import problem_sources
from impact.queries.causes import causes_of
from impact.queries.estimates import Estimate
from impact.queries.summary import summarize

Count = Annotated[int, msgspec.Meta(ge=0)]


class StateFigures(msgspec.Struct):
    """The orders in one state. Amounts are in the currency's smallest unit."""

    state: str  # One of at_risk, lost, refund_due, recovered and safe.
    orders: Count
    seats: Count
    amounts: dict[str, int]


class MissingOrders(msgspec.Struct):
    currency: str
    expected_orders: float
    paid_orders: Count
    orders: Count
    orders_low: Count
    orders_high: Count
    amount: Count
    amount_low: Count
    amount_high: Count


class EstimatedImpact(msgspec.Struct):
    """The estimated cost of the problem in this period. It is not part of the exact figures."""

    since: datetime
    until: datetime
    weeks_compared: int
    missing: list[MissingOrders]
    explanation: str


class PossibleCause(msgspec.Struct):
    """A change before the problem began, which may be its cause."""

    # One of deploy, release, setting, outage, maintenance, dependency, traffic and error.
    kind: str
    label: str  # For example "Deploy of shop 2.4 to production".
    at: datetime
    distance: str  # For example "3 min before".
    reasons: list[str]  # For example "same app" and "same environment".
    url: str


class ImpactShown(msgspec.Struct):
    title: str
    url: str
    summary: str  # For example "11 orders, 640.00 EUR at risk, 3 recovered".
    is_complete: bool  # False if the newest changes are still missing from the figures.
    states: list[StateFigures]
    estimate: EstimatedImpact | None
    causes: list[PossibleCause]  # The most likely cause comes first.


@api(Scope.ADMIN, "GET", permission="impact.view_order", needs_app=False)
def impact(request: HttpRequest, app: ClientApp | None, kind: str, id: int) -> HttpResponse:
    description = problem_sources.get(kind).describe(id) if kind in problem_sources else None
    if description is None:
        return refusal(404, "there is no such problem")
    person = person_of(request)
    if person and description.permission and not person.has_perm(description.permission):
        raise NotAllowed("your account lacks the permission to see this problem")
    found = summarize(kind, id, description, now=timezone.now(), is_estimated=True)
    return json_response(
        ImpactShown(
            title=description.title,
            url=request.build_absolute_uri(found.url),
            summary=found.sentence,
            is_complete=found.is_complete,
            states=[
                StateFigures(state.value, orders, seats, amounts)
                for state, orders, amounts, seats in found.figures.rows()
            ],
            estimate=_estimate(found.estimate) if found.estimate else None,
            causes=[_cause(request, one) for one in causes_of(kind, id)],
        )
    )


def _cause(request: HttpRequest, found: Cause) -> PossibleCause:
    change = found.change
    return PossibleCause(
        kind=change.kind.value,
        label=change.label,
        at=change.at,
        distance=found.distance_text,
        reasons=list(found.reasons),
        url=request.build_absolute_uri(change.url) if change.url else "",
    )


def _estimate(found: Estimate) -> EstimatedImpact:
    return EstimatedImpact(
        since=found.since,
        until=found.until,
        weeks_compared=found.week_count,
        missing=[
            MissingOrders(
                currency=one.currency,
                expected_orders=round(one.expected_count, 1),
                paid_orders=one.made_count,
                orders=one.count,
                orders_low=one.low_count,
                orders_high=one.high_count,
                amount=one.amount,
                amount_low=one.low_amount,
                amount_high=one.high_amount,
            )
            for one in found.missing
        ],
        explanation=found.basis(),
    )
