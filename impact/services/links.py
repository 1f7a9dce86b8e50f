"""Link problems and orders that name the same identifiers."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from core.lib.upsert import upsert
from impact.extension_points import Mention, Problem, problem_sources
from impact.models import Order, OrderReference, ProblemReference, Touch
from impact.references import BROAD_KINDS, Reference

# A user or an organization links a problem to the orders that began at most this long before or after the problem.
BROAD_WINDOW = timedelta(hours=24)
REMEMBERED_FOR = timedelta(days=2)
IN_CHUNK = 500

Span = tuple[datetime, datetime]
# The mentions of a user or an organization are stored by hour, so that an order is compared only with mentions at about
# the same time.
Spans = dict[tuple[Problem, Reference, int], Span]
# The kind of the problem, the problem, the order, `first_at` and `last_at`.
TouchRow = tuple[str, int, int, datetime, datetime]


def link_mentions(mentions: Sequence[Mention], *, indexed: Collection[str]) -> None:
    """Link the problems to the orders that they named, and store the mentions that cannot be looked up later."""
    spans = _spans(mentions)
    by_reference: dict[Reference, list[tuple[Problem, Span]]] = defaultdict(list)
    for (problem, reference, _), span in spans.items():
        by_reference[reference].append((problem, span))
    touches = []
    for reference, order_id, created_at in _orders_by_reference(by_reference):
        for problem, (first_at, last_at) in by_reference[reference]:
            if is_linked(reference.kind, created_at, first_at, last_at):
                touches.append((*problem, order_id, first_at, last_at))
    add_touches(touches)
    _remember(spans, indexed)


def link_orders(new: Iterable[tuple[str, str, int]], orders: Mapping[int, Order]) -> None:
    """Link orders to earlier problems that mentioned one of the orders' new references.

    `new` contains (kind, value, order id) for each reference.
    """
    by_reference: dict[Reference, list[int]] = defaultdict(list)
    for kind, value, order_id in new:
        by_reference[Reference(kind, value)].append(order_id)
    touches = []
    for mention, last_at in _earlier_mentions(by_reference):
        for order_id in by_reference.get(mention.reference, ()):
            created_at = orders[order_id].created_at
            if is_linked(mention.reference.kind, created_at, mention.at, last_at):
                touches.append((*mention.problem, order_id, mention.at, last_at))
    add_touches(touches)


def is_linked(kind: str, created_at: datetime, first_at: datetime, last_at: datetime) -> bool:
    """Return True if a mention of this kind links an order that began at `created_at`."""
    if kind not in BROAD_KINDS:
        return True
    return first_at - BROAD_WINDOW <= created_at <= last_at + BROAD_WINDOW


def add_touches(touches: Iterable[TouchRow]) -> None:
    """Store the touches. A touch that already exists is extended to cover the earliest and the latest time."""
    merged: dict[tuple[str, int, int], tuple[datetime, datetime]] = {}
    for kind, problem, order_id, first_at, last_at in touches:
        known = merged.get((kind, problem, order_id), (first_at, last_at))
        merged[kind, problem, order_id] = (min(known[0], first_at), max(known[1], last_at))
    upsert(
        Touch,
        (
            {
                "kind": kind,
                "problem": problem,
                "order": order_id,
                "first_at": first,
                "last_at": last,
            }
            for (kind, problem, order_id), (first, last) in merged.items()
        ),
        key=("kind", "problem", "order"),
        least=("first_at",),
        greatest=("last_at",),
    )


def _spans(mentions: Iterable[Mention]) -> Spans:
    """Return the first and last time of the mentions by problem, reference and hour.

    The hour is 0 for references of kinds that link orders of any time.
    """
    spans: Spans = {}
    for problem, reference, at, until in mentions:
        hour = int(at.timestamp()) // 3600 if reference.kind in BROAD_KINDS else 0
        known = spans.get((problem, reference, hour))
        last_at = until or at
        span = (min(known[0], at), max(known[1], last_at)) if known else (at, last_at)
        spans[problem, reference, hour] = span
    return spans


def _orders_by_reference(
    references: Collection[Reference],
) -> Iterable[tuple[Reference, int, datetime]]:
    for kind, values in _by_kind(references).items():
        for start in range(0, len(values), IN_CHUNK):
            found = OrderReference.objects.filter(
                kind=kind, value__in=values[start : start + IN_CHUNK]
            ).values_list("value", "order_id", "order__created_at")
            for value, order_id, created_at in found:
                yield Reference(kind, value), order_id, created_at


def _earlier_mentions(references: Collection[Reference]) -> Iterable[tuple[Mention, datetime]]:
    """Yield the earlier mentions of the references, each with the time of its last repetition."""
    for kind, values in _by_kind(references).items():
        for start in range(0, len(values), IN_CHUNK):
            part = values[start : start + IN_CHUNK]
            remembered = ProblemReference.objects.filter(ref_kind=kind, value__in=part)
            for row in remembered:
                problem = Problem(row.kind, row.problem)
                yield Mention(problem, Reference(kind, row.value), row.first_at), row.last_at
            for source in problem_sources:
                if kind in source.indexed:
                    for mention in source.find(kind, part):
                        yield mention, mention.last_at or mention.at


def _by_kind(references: Iterable[Reference]) -> dict[str, list[str]]:
    by_kind: dict[str, list[str]] = defaultdict(list)
    for kind, value in sorted(references):
        by_kind[kind].append(value)
    return by_kind


def _remember(spans: Spans, indexed: Collection[str]) -> None:
    upsert(
        ProblemReference,
        (
            {
                "ref_kind": reference.kind,
                "value": reference.value,
                "kind": problem.kind,
                "problem": problem.id,
                "hour": hour,
                "first_at": first_at,
                "last_at": last_at,
            }
            for (problem, reference, hour), (first_at, last_at) in spans.items()
            if reference.kind not in indexed
        ),
        key=("ref_kind", "value", "kind", "problem", "hour"),
        least=("first_at",),
        greatest=("last_at",),
    )
