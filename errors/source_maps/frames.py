"""Replace a minified frame with the original frame from an opened source map. This module does not use the database."""

import re
from typing import Any, Protocol
from urllib.parse import urlsplit

from core.lib.scrub import scrub_text

CONTEXT_LINES = 5
MAX_LINE_LENGTH = 500
# These keys of a frame describe its place in the code. Their values are replaced together, so that a frame never mixes
# minified and original code.
PLACE = (
    "filename",
    "abs_path",
    "function",
    "lineno",
    "colno",
    "context_line",
    "pre_context",
    "post_context",
)
_NOT_SCHEMES = re.compile(r"^(?:webpack(?:-internal)?://[^/]*/|rollup://|file://|app://|vite://)")
_LOADERS = re.compile(r"^.*!")
_LIBRARY = re.compile(
    r"(?:^|/)(?:node_modules|bower_components|\.yarn|\.pnpm)/|^webpack/|^\(webpack\)|vite/preload-helper"
)
_UNKNOWN = frozenset(("", "<unknown>", "<anonymous>"))


class Token(Protocol):
    line: int
    col: int
    src: str | None
    name: str | None
    function_name: str | None
    context_line: str | None
    pre_context: list[str]
    post_context: list[str]


class OpenedMap(Protocol):
    def lookup(self, line: int, col: int, context_lines: int) -> Token | None: ...


def is_minified(frame: dict[str, Any], platform: str) -> bool:
    """Return True if the frame belongs to a script and has the line and column to look up in a source map."""
    return (
        (frame.get("platform") or platform) in ("javascript", "node")
        and bool(frame.get("abs_path") or frame.get("filename"))
        and all(type(frame.get(name)) is int and frame[name] > 0 for name in ("lineno", "colno"))
        and not str(frame.get("abs_path") or "").startswith(("native", "node:", "[native"))
    )


def original(frame: dict[str, Any], source_map: OpenedMap) -> dict[str, Any] | None:
    """Return the values of PLACE and `in_app` in the original code, or None if the source map lacks the position."""
    token = source_map.lookup(frame["lineno"], frame["colno"], CONTEXT_LINES)
    if token is None or not token.src:
        return None
    path = source_path(token.src)
    found: dict[str, Any] = {
        "filename": path,
        "abs_path": token.src[:500],
        "lineno": token.line,
        "colno": token.col,
        "in_app": is_in_app(path) and frame.get("in_app") is not False,
    }
    function = token.function_name or ""
    if function not in _UNKNOWN:
        found["function"] = function[:200]
    if token.context_line is not None:
        found["context_line"] = _line(token.context_line)
        found["pre_context"] = [_line(line) for line in token.pre_context]
        found["post_context"] = [_line(line) for line in token.post_context]
    return found


def source_path(source: str) -> str:
    """Return the path of a source in its repository: webpack://shop/./src/cart.js becomes src/cart.js.

    Bundler plugins upload the same source as shop/./src/cart.js.
    """
    path = _LOADERS.sub("", source)
    if path.startswith(("http://", "https://")):
        path = urlsplit(path).path
    path = _NOT_SCHEMES.sub("", path.split("?", 1)[0])
    path = path.rpartition("/./")[2]
    while path.startswith(("./", "../", "/", "~/")):
        path = path.partition("/")[2]
    return path[:500] or source[:500]


def is_in_app(path: str) -> bool:
    """Return True unless the path belongs to a library or to the bundler."""
    return _LIBRARY.search(path) is None


def _line(text: str) -> str:
    return scrub_text(text.rstrip("\r\n")[:MAX_LINE_LENGTH])


def merged(frame: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Return the frame with its place in the original code (`found`) instead of its place in the minified code."""
    return {name: value for name, value in frame.items() if name not in PLACE} | found
