"""Hide the secrets of objects in responses, and replace them by references in files.

In a file, `${NAME}` stands for the environment variable NAME, `${file:/path}` for the content of a file, and `$${` for
the characters `${`. A string may contain a reference at any place: `Bearer ${TOKEN}`.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.config.extension_points import InvalidConfig, Resource, Values

HIDDEN = "[hidden]"
_REFERENCE = re.compile(r"\$\$\{|\$\{file:(?P<file>[^}]+)\}|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}")
MAX_FILE_BYTES = 100_000
Path_ = tuple[str, ...]


class Unresolved(str):
    """A reference that cannot be resolved. The object keeps its stored secret, if it has one."""

    problem: str

    @classmethod
    def because(cls, problem: str) -> "Unresolved":
        found = cls(HIDDEN)
        found.problem = problem
        return found


def replace_texts(value: Any, replace: Callable[[str, Path_], Any], path: Path_ = ()) -> Any:
    """Return a copy of nested dicts and lists with each string replaced by `replace(string, path)`."""
    match value:
        case str():
            return replace(value, path)
        case dict():
            return {
                key: replace_texts(one, replace, (*path, str(key))) for key, one in value.items()
            }
        case list():
            return [
                replace_texts(one, replace, (*path, str(number)))
                for number, one in enumerate(value)
            ]
    return value


def hide(resource: Resource, values: Values) -> Values:
    """Return the values with HIDDEN in place of each secret."""

    def replace(text: str, path: Path_) -> str:
        return HIDDEN if text and resource.is_secret(values, path) else text

    return replace_texts(values, replace)  # type: ignore[no-any-return]


def restore(resource: Resource, given: Values, stored: Values) -> Values:
    """Replace each HIDDEN among the given values by the stored secret. Raises InvalidConfig if none is stored."""
    problems: dict[str, list[str]] = {}

    def replace(text: str, path: Path_) -> str:
        if text != HIDDEN:
            return text
        kept = _at(stored, _stored_path(resource, given, stored, path))
        if isinstance(kept, str) and kept and resource.is_secret({**stored, **given}, path):
            return kept
        reason = getattr(text, "problem", "enter the value; there is no stored one to keep")
        problems[".".join(path)] = [reason]
        return ""

    restored = replace_texts(given, replace)
    if problems:
        raise InvalidConfig(problems)
    return restored  # type: ignore[no-any-return]


def _stored_path(resource: Resource, given: Values, stored: Values, path: Path_) -> Path_:
    """Return the path at which `stored` has the string at `path` of `given`, or () if it has none.

    An entry of an inline is found by its key, because its position may differ.
    """
    if path[0] not in resource.inlines:
        return path
    key = resource.inlines[path[0]]
    wanted = given[path[0]][int(path[1])].get(key)
    for number, entry in enumerate(stored.get(path[0], ())):
        if entry[key] == wanted:
            return (path[0], str(number), *path[2:])
    return ()


def _at(value: Any, path: Path_) -> Any:
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


# --- references ----------------------------------------------------------------------------------------
class References:
    """The environment variables that replace the secrets of exported objects, each with a unique name."""

    def __init__(self) -> None:
        self.variables: set[str] = set()

    def insert(self, resource: Resource, values: Values) -> Values:
        def replace(text: str, path: Path_) -> str:
            if text and resource.is_secret(values, path):
                return "${" + self._variable(resource, values, path) + "}"
            return text.replace("${", "$${")

        return replace_texts(values, replace)  # type: ignore[no-any-return]

    def _variable(self, resource: Resource, values: Values, path: Path_) -> str:
        parts = [resource.kind, str(values[resource.key]), *path]
        base = re.sub(r"[^A-Z0-9]+", "_", "_".join(parts).upper()).strip("_")
        base = base if base[:1].isalpha() else f"SECRET_{base}"
        name, number = base, 2
        while name in self.variables:
            name, number = f"{base}_{number}", number + 1
        self.variables.add(name)
        return name


def resolve(values: Values, environment: Mapping[str, str]) -> Values:
    """Return the values with each reference resolved. A string with an unknown reference becomes Unresolved."""

    def replace(text: str, path: Path_) -> str:
        problems: list[str] = []

        def look_up(found: re.Match[str]) -> str:
            if found["file"]:
                try:
                    return _read(found["file"])
                except (OSError, ValueError) as error:
                    problems.append(f"{found['file']} cannot be read: {error}")
            elif found["name"]:
                if found["name"] in environment:
                    return environment[found["name"]]
                problems.append(f"the environment variable {found['name']} is not set")
            else:
                return "${"
            return ""

        resolved = _REFERENCE.sub(look_up, text)
        return Unresolved.because("; ".join(problems)) if problems else resolved

    return replace_texts(values, replace)  # type: ignore[no-any-return]


def _read(path: str) -> str:
    with Path(path).open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"the file has more than {MAX_FILE_BYTES:,} bytes")
    return content.decode().strip()
