"""Read the original frames of an event, if source maps have resolved them."""

from collections.abc import Mapping
from dataclasses import dataclass

from zstandard import ZstdError

from errors.event import json_codec
from errors.exceptions import Unreadable
from errors.models import ErrorEvent, EventToResolve, ResolvedEvent
from errors.source_maps.resolve import apply
from errors.store import payloads


@dataclass(frozen=True)
class SourceMapState:
    """The state of source maps for an event, as the event's page shows it."""

    # True until a worker has tried to resolve the event, which usually takes seconds.
    is_waiting: bool = False
    has_original: bool = False
    shows_original: bool = False
    problems: tuple[str, ...] = ()


def with_original_frames(
    event: ErrorEvent, payload: Mapping[str, object], *, minified: bool = False
) -> tuple[Mapping[str, object], SourceMapState]:
    """Return the payload and the state of its source maps.

    The payload has the original frames, unless they are unavailable or `minified` is set.
    """
    row = ResolvedEvent.objects.filter(pk=event.pk).select_related("stack").first()
    if row is None:
        is_waiting = EventToResolve.objects.filter(pk=event.pk).exists()
        return payload, SourceMapState(is_waiting=is_waiting)
    problems = tuple(str(problem) for problem in row.problems)
    if row.stack is None:
        return payload, SourceMapState(problems=problems)
    if minified:
        return payload, SourceMapState(has_original=True, problems=problems)
    try:
        stacks = json_codec.decode(payloads.unpack(bytes(row.stack.data)))
        original = apply(payload, stacks)
    except (Unreadable, ZstdError, LookupError, TypeError, ValueError):
        return payload, SourceMapState(problems=("The original frames cannot be read.",))
    return original, SourceMapState(has_original=True, shows_original=True, problems=problems)
