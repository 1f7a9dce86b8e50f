"""Compare the members of an object in a request or file with the stored ones, ignoring differences in notation.

In a file, a duration may be 900 s instead of 15 min, channels may be in another order, and members may be left out.
"""

from datetime import datetime, time
from typing import Any

from django.db import models
from django.utils.dateparse import parse_datetime, parse_time

from core.config.extension_points import Resource, Values
from core.config.values import Field, as_json, members_of
from core.lib.forms import parse_span


def with_positions(resource: Resource, given: Values) -> Values:
    """Return a copy of `given` in which entries of numbered inlines have a number, by default their position from 1."""
    filled = dict(given)
    for prefix, key in resource.inlines.items():
        entries = given.get(prefix)
        if isinstance(entries, list) and _is_number(resource, prefix, key):
            filled[prefix] = [
                {key: number} | one if isinstance(one, dict) else one
                for number, one in enumerate(entries, start=1)
            ]
    return filled


def _is_number(resource: Resource, prefix: str, key: str) -> bool:
    fields = members_of(resource).inlines[prefix]
    return any(isinstance(one, models.IntegerField) for one in fields if one.name == key)


def list_differences(resource: Resource, given: Values, stored: Values) -> list[str]:
    """Return the names of the members in `given` that differ from the stored ones, including unknown members."""
    members = members_of(resource)
    fields = {field.name: field for field in members.fields}
    found = []
    for name, value in given.items():
        if name not in stored:
            found.append(name)
        elif name in resource.inlines:
            if not _are_same_entries(resource, name, value, stored[name]):
                found.append(name)
        elif name in fields:
            if _normalize(fields[name], value) != stored[name]:
                found.append(name)
        elif _without_empty(value) != _without_empty(stored[name]):
            found.append(name)
    return found


def _are_same_entries(resource: Resource, prefix: str, given: Any, stored: list[Values]) -> bool:
    if not isinstance(given, list) or len(given) != len(stored):
        return False
    fields = {field.name: field for field in members_of(resource).inlines[prefix]}
    key = resource.inlines[prefix]
    by_key = {one[key]: one for one in stored}
    for entry in given:
        if not isinstance(entry, dict) or entry.keys() - fields.keys():
            return False
        values = {name: _normalize(fields[name], value) for name, value in entry.items()}
        known = by_key.pop(_hashable(values.get(key)), None)
        if known is None or any(known[name] != value for name, value in values.items()):
            return False
    return True


def _hashable(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else None


def _without_empty(value: Any) -> Any:
    """Return a mapping without its empty strings, because settings without a value are not stored."""
    if isinstance(value, dict):
        return {name: one for name, one in value.items() if one != ""}
    return value


def _normalize(field: Field, value: Any) -> Any:
    """Return the value in the form in which it is read from the database. An invalid value is returned unchanged."""
    try:
        if field.many_to_many and isinstance(value, list):
            return sorted(set(value))
        if not isinstance(value, str):
            return value
        match field:
            case models.DurationField():
                return as_json(parse_span(value)) if value else None
            case models.DateTimeField():
                return _as_json(parse_datetime(value), value)
            case models.TimeField():
                return _as_json(parse_time(value), value)
            case models.CharField() | models.TextField():
                return value.strip()
    except (TypeError, ValueError):
        pass
    return value


def _as_json(value: datetime | time | None, text: str) -> Any:
    is_naive = isinstance(value, datetime) and value.tzinfo is None
    return (text or None) if value is None or is_naive else as_json(value)
