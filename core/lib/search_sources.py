"""Search the whole portal. Each app adds a source for its own objects.

    @search_source("errors.groups", title="Errors", permission="errors.view_errorgroup", order=100)
    def find_groups(search: Search) -> Iterable[Hit]: ...

The command palette, the search page and `GET /api/v1/search/` show the same hits (`opsportal.search`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from django.db.models import Q

from core.lib.app_access import sees_every_app
from core.lib.registry import Registry

MAX_HITS = 5  # The maximum number of hits per source.


@dataclass(frozen=True)
class Search:
    """A search: the typed text, and the user whose permissions apply."""

    text: str  # The typed text, which is never empty and has no surrounding spaces.
    now: datetime
    may: Callable[[str], bool]  # Returns True for a permission that the user has.

    def matches(self, *texts: str) -> bool:
        """Return True if each typed word occurs in one of the texts."""
        known = " ".join(texts).casefold()
        return all(word in known for word in self.text.casefold().split())


@dataclass(frozen=True)
class Hit:
    title: str
    url: str  # A path of this portal.
    detail: str = ""
    is_exact: bool = False  # True if the user typed the whole id or name. Exact hits come first.


SearchFunction = Callable[[Search], Iterable[Hit]]


@dataclass(frozen=True)
class SearchSource:
    name: str
    title: str  # The heading above the hits.
    find: SearchFunction
    permission: str  # The permission that users need to see the hits; "" lets every user who may sign in see them.
    order: int
    respects_apps: bool


@dataclass(frozen=True)
class Group:
    """The hits of one source."""

    title: str
    hits: list[Hit]

    @property
    def is_exact(self) -> bool:
        return any(hit.is_exact for hit in self.hits)


search_sources: Registry[SearchSource] = Registry("search_sources")


def search_source(
    name: str, *, title: str, permission: str = "", order: int, respects_apps: bool = False
) -> Callable[[SearchFunction], SearchFunction]:
    """Register a function that returns hits, best first. At most MAX_HITS of them are read.

    Set `respects_apps` if the function filters every row that belongs to an app with `app_access.limit`. Otherwise,
    the source is skipped for users who may see only some apps.
    """
    return search_sources.decorator(
        name, lambda find: SearchSource(name, title, find, permission, order, respects_apps)
    )


def has_value(field: str, value: str) -> Q:
    """Match rows with this value through a partial index that omits empty values.

    SQLite uses such an index only if the query also excludes empty values.
    """
    return Q(**{field: value}) & ~Q(**{field: ""})


def find_all(search: Search) -> list[Group]:
    """Return the hits that the user may see, grouped by source.

    Groups with an exact hit come first, followed by groups with a title that starts with the typed text.
    """
    typed = search.text.casefold()
    groups = [
        Group(source.title, list(islice(source.find(search), MAX_HITS)))
        for source in sorted(search_sources, key=lambda source: source.order)
        if (source.respects_apps or sees_every_app())
        and (not source.permission or search.may(source.permission))
    ]
    return sorted(
        (group for group in groups if group.hits),
        key=lambda group: (
            not group.is_exact,
            not any(hit.title.casefold().startswith(typed) for hit in group.hits),
        ),
    )
