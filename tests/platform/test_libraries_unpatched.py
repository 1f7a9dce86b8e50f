"""No part of a library is replaced at run time: such code breaks with the library's next release."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FIRST_PARTY = ("alerts", "core", "errors", "health", "opsportal", "payments", "reservations")
ALLOWED = {"settings", "connection"}  # public, and meant to be set


def patches(source: str) -> Iterator[str]:
    """Yield each assignment in the source to an attribute of something imported, or to a private one of another object."""
    tree = ast.parse(source)
    imported = {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        or (isinstance(node, ast.ImportFrom) and not (node.module or "").startswith(FIRST_PARTY))
        for alias in node.names
        if not alias.name.startswith(FIRST_PARTY)
    } - ALLOWED
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            owner = node.value
            is_own = isinstance(owner, ast.Name) and owner.id in ("self", "cls")
            is_private = node.attr.startswith("_") and not node.attr.startswith("__") and not is_own
            is_imported = isinstance(owner, ast.Name) and owner.id in imported
            if is_private or is_imported:
                yield f"line {node.lineno}: {ast.unparse(node)}"
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "setattr"
            and ast.unparse(node.args[0]) in imported
        ):
            yield f"line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.slow
def test_no_library_is_patched() -> None:
    found = []
    for folder in FIRST_PARTY:
        for path in sorted((ROOT / folder).rglob("*.py")):
            source = path.read_text()
            found += [f"{path.relative_to(ROOT)} {patch}" for patch in patches(source)]
            if "ignore[method-assign]" in source:
                found.append(f"{path.relative_to(ROOT)}: a method is replaced")

    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "from granian.server import mp\nmp._wsgi_call_wrap = None",
        "import json\njson.loads = None",
        "import json\nsetattr(json, 'loads', None)",
        "def f(response):\n    response._store = {}",
    ],
)
def test_each_way_to_patch_is_noticed(source: str) -> None:
    assert list(patches(source))


def test_own_attributes_are_no_patch() -> None:
    assert not list(patches("class A:\n    def f(self):\n        self._x = 1"))
