"""Describe the search line and the filters above a list, which `templates/portal/_filter_bar.html` shows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Select:
    """A filter with a fixed set of values. `options` are pairs of a value and its text."""

    name: str
    label: str
    options: Iterable[tuple[str, str]]
    any_label: str = "Any"
    chosen: str = ""


@dataclass(frozen=True)
class FilterBar:
    """A search line and filters. The view at `complete_url` suggests search terms; screen readers read `help`."""

    q: str
    placeholder: str
    selects: list[Select]
    clear_url: str
    is_used: bool
    hidden: list[tuple[str, str]]
    complete_url: str = ""
    help: str = ""


def filter_bar(
    filters: Mapping[str, str],
    *,
    placeholder: str,
    selects: Iterable[Select],
    clear_url: str,
    is_used: bool,
    hidden: Iterable[str] = (),
    complete_url: str = "",
    help_text: str = "",
) -> FilterBar:
    """Return the bar, filled in with `filters`, the parameters of the page's URL."""
    return FilterBar(
        q=filters["q"],
        placeholder=placeholder,
        selects=[
            Select(one.name, one.label, one.options, one.any_label, filters[one.name])
            for one in selects
        ],
        clear_url=clear_url,
        is_used=is_used,
        hidden=[(name, filters[name]) for name in hidden if filters[name]],
        complete_url=complete_url,
        help=help_text,
    )
