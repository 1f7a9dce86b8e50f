"""Describe error groups as problems. A group affects the orders that its events name."""

from core.lib.app_access import limit
from errors.models import ErrorGroup
from errors.queries.mentions import GROUP, INDEXED, describe_group, find_mentions, read_mentions
from errors.queries.onset import onset_of_group
from impact.causes import Onset
from impact.extension_points import Description, Page, problem_source


def describe(id: int) -> Description | None:
    group = limit(ErrorGroup.objects.filter(pk=id)).first()
    return describe_group(group) if group else None


def onset(id: int) -> Onset | None:
    group = limit(ErrorGroup.objects.filter(pk=id)).first()
    return onset_of_group(group) if group else None


@problem_source(GROUP, describe=describe, onset=onset, find=find_mentions, indexed=INDEXED)
def events_of_groups(first: int, last: int, limit: int) -> Page:
    return read_mentions(first, last, limit)
