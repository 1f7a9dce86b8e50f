"""Enable and disable inbound filters."""

from collections.abc import Sequence

from django.db import transaction

from core.clients.models import ClientApp
from errors.event.filters import MAX_PATTERN_LENGTH, MAX_PATTERNS, TAKES_PATTERNS, Filter
from errors.exceptions import InvalidForm
from errors.models import InboundFilter


def clean_patterns(kind: Filter, given: str) -> list[str]:
    """Return the patterns from a string with one pattern per line, without duplicates, or [] if `kind` takes none.

    Raises InvalidForm if patterns are missing, too many or too long, or if one has only asterisks.
    """
    if kind not in TAKES_PATTERNS:
        return []
    patterns = list(dict.fromkeys(line.strip() for line in given.replace("\0", "").splitlines()))
    patterns = [pattern for pattern in patterns if pattern]
    if not patterns:
        raise InvalidForm("enter at least one pattern")
    if len(patterns) > MAX_PATTERNS:
        raise InvalidForm(f"enter at most {MAX_PATTERNS} patterns")
    for pattern in patterns:
        if len(pattern) > MAX_PATTERN_LENGTH:
            raise InvalidForm(f"a pattern has more than {MAX_PATTERN_LENGTH} characters")
        if not pattern.strip("*"):
            raise InvalidForm(f"the pattern {pattern} would drop every error")
    return patterns


@transaction.atomic
def switch_on(*, app: ClientApp, kind: Filter, patterns: Sequence[str]) -> None:
    """Enable the filter, or replace its patterns. Ingestion applies it within TRUSTED_SECONDS."""
    InboundFilter.objects.update_or_create(
        app=app, kind=kind.value, defaults={"patterns": list(patterns)}
    )


def switch_off(*, app: ClientApp, kind: Filter) -> None:
    InboundFilter.objects.filter(app=app, kind=kind.value).delete()
