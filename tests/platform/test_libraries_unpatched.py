"""Test that the code neither patches libraries nor reads their private attributes, which any release may change."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CHECKED = (
    "alerts",
    "bench",
    "core",
    "demo",
    "errors",
    "health",
    "impact",
    "opsportal",
    "payments",
    "reservations",
    "scripts",
)
FIRST_PARTY = (
    "alerts",
    "core",
    "errors",
    "health",
    "impact",
    "opsportal",
    "payments",
    "reservations",
)
# Objects whose attributes may be set, as their libraries document.
ALLOWED = {"settings", "connection"}
# Documented names that begin with an underscore.
DOCUMENTED = {"_meta", "_default_manager", "_state", "_replace", "_asdict", "_fields", "_exit"}
# environs offers no public way to treat an empty variable as unset.
ALLOWED_READS = {"core/lib/env.py: super()._get_value"}


def patches(source: str) -> Iterator[str]:
    """Yield each assignment to an attribute of an imported object, or to a private attribute of any object."""
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


def private_reads(source: str) -> Iterator[str]:
    """Yield each use of a private attribute of an object other than `self` or `cls` in the source."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner, name = ast.unparse(node.value), node.attr
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("getattr", "hasattr")
            and isinstance(node.args[1], ast.Constant)
        ):
            owner, name = ast.unparse(node.args[0]), str(node.args[1].value)
        else:
            continue
        is_private = name.startswith("_") and not name.startswith("__")
        if is_private and name not in DOCUMENTED and owner not in ("self", "cls"):
            yield ast.unparse(node)


def test_no_private_attribute_is_read() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {read}"
        for folder in CHECKED
        for path in sorted((ROOT / folder).rglob("*.py"))
        for read in private_reads(path.read_text())
    }

    assert found == ALLOWED_READS


@pytest.mark.parametrize(
    "source",
    [
        "x = client._pool",
        "if self.connection._sock: pass",
        "user = getattr(request, '_cached_user')",
    ],
)
def test_each_read_of_a_private_attribute_is_detected(source: str) -> None:
    assert list(private_reads(source))


@pytest.mark.slow
def test_no_library_is_patched() -> None:
    found = []
    for folder in CHECKED:
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
def test_each_way_to_patch_is_detected(source: str) -> None:
    assert list(patches(source))


def test_setting_own_attributes_is_not_a_patch() -> None:
    assert not list(patches("class A:\n    def f(self):\n        self._x = 1"))
