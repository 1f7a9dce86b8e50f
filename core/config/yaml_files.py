"""Read and write configuration files: YAML 1.2 with the types of JSON.

PyYAML reads YAML 1.1 by default, where 22:00 is a number, `on` is a boolean, and a repeated key replaces the first one.
"""

import re
from typing import Any

import yaml

from core.config.extension_points import registry
from core.config.values import resources_in_order

VERSION = 1
MAX_BYTES = 20_000_000


class InvalidFile(Exception):
    pass


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise InvalidFile(f"line {key.start_mark.line + 1}: a key must be text")
            if key.value in seen:
                raise InvalidFile(f"line {key.start_mark.line + 1}: {key.value} appears twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_NUMBER = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", _NUMBER, list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )
_Loader.add_constructor(
    "tag:yaml.org,2002:int",
    lambda loader, node: int(loader.construct_scalar(node)),  # type: ignore[arg-type]
)


class _Dumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    # PyYAML itself quotes only strings that are numbers in YAML 1.1, not all that are numbers in YAML 1.2.
    if re.fullmatch(_NUMBER, text):
        style = "'"
    elif "\n" in text and not re.search(r"[ \t]\n|^\s|[^\n]\Z", text):
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def load(text: str) -> dict[str, list[dict[str, Any]]]:
    """Return the objects of a file by their kind. Raises InvalidFile with the line or object that causes it."""
    if len(text) > MAX_BYTES:
        raise InvalidFile(f"the file has more than {MAX_BYTES:,} characters")
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506  a subclass of SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidFile(f"the file is not valid YAML: {error}") from error
    if document is None:
        raise InvalidFile("the file is empty")
    if not isinstance(document, dict):
        raise InvalidFile(
            "the file must be a mapping of kinds, such as `monitors:`, to lists of objects"
        )
    if (version := document.pop("version", VERSION)) != VERSION:
        raise InvalidFile(f"version {version} is unknown; this portal reads version {VERSION}")
    kinds = [resource.kind for resource in registry if resource.is_in_files]
    for kind in document:
        if kind not in kinds:
            raise InvalidFile(f"“{kind}” is not a kind of object; use {', '.join(sorted(kinds))}")
        objects = document[kind] = [] if document[kind] is None else document[kind]
        if not isinstance(objects, list) or not all(isinstance(one, dict) for one in objects):
            raise InvalidFile(f"{kind} must be a list of objects")
        _check_keys(kind, objects)
    return document


def _check_keys(kind: str, objects: list[dict[str, Any]]) -> None:
    key = registry.get(kind).key
    seen: set[str] = set()
    for number, one in enumerate(objects, start=1):
        name = one.get(key)
        if not isinstance(name, str) or not name:
            raise InvalidFile(f"{kind}, object {number}: `{key}` must be a non-empty string")
        if name in seen:
            raise InvalidFile(f"{kind}: “{name}” appears twice")
        seen.add(name)


def dump(document: dict[str, list[dict[str, Any]]]) -> str:
    ordered = [r.kind for r in resources_in_order() if document.get(r.kind)]
    sections = [{"version": VERSION}, *({kind: document[kind]} for kind in ordered)]
    return "\n".join(
        yaml.dump(one, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
        for one in sections
    )
