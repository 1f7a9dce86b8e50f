"""Read values from responses by path, and insert them as variables into later requests. All functions are pure.

extract:  token = json.access_token        session = header.X-Session
use:      Authorization: Bearer {{token}}
"""

import re
from collections.abc import Iterable, Mapping

_PATH_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_EXTRACTION = re.compile(r"([A-Za-z_]\w*)\s*=\s*((?:json|header)[.\[].+)")
MAX_VALUE_CHARACTERS = 10_000


class ProbeFailed(Exception):
    """The address responded, but not as expected."""


class UnknownVariable(LookupError):
    def __init__(self, name: str) -> None:
        super().__init__(f"no earlier step sets the variable {name}")
        self.name = name


def value_at_path(value: object, path: str) -> object:
    """Return the value at a path such as `a.b[0].c`. Raises LookupError if the path does not exist."""
    for name, index in _PATH_STEP.findall(path):
        if index and isinstance(value, list):
            value = value[int(index)]
        elif name and isinstance(value, dict):
            value = value[name]
        else:
            raise LookupError(path)
    return value


def parse_extractions(text: str) -> dict[str, str]:
    """Return the path of each variable in lines such as `token = json.access_token`.

    Raises ValueError for other lines.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        match = _EXTRACTION.fullmatch(line.strip())
        if match is None:
            raise ValueError(
                f"“{line.strip()[:80]}” is not of the form name = json.path or name = header.Name"
            )
        found[match[1]] = match[2]
    return found


def variables_in(texts: Iterable[str]) -> set[str]:
    """Return the names of the variables in the texts."""
    return {name for text in texts for name in _VARIABLE.findall(text)}


def fill_in(text: str, variables: Mapping[str, str]) -> str:
    """Replace each `{{name}}` with the variable's value. Raises UnknownVariable if there is no such variable."""

    def value_of(match: re.Match[str]) -> str:
        try:
            return variables[match[1]]
        except KeyError:
            raise UnknownVariable(match[1]) from None

    return _VARIABLE.sub(value_of, text)
