"""Decide which events belong to the same group. Does not use the database.

Every stored hash carries the version of the algorithm, so that a better algorithm does not split existing groups.

A fingerprint set by the client wins; next come the types and frames of the exception chain; an exception's value or the
message counts only if there is no stack trace. Line numbers never count.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from core.lib.scrub import Scrubbed

VERSION = 1
# Earlier versions, newest first. An existing group is found through them and gets the new hash in addition.
EARLIER: tuple[Callable[[Mapping[str, Any]], str], ...] = ()

_DEFAULT = re.compile(r"\{\{\s*default\s*\}\}")

# --- frames ------------------------------------------------------------------------------------------------
_PLATFORMS_WITH_SOURCE_LINES = frozenset(("python", "javascript", "node", "ruby"))
_NO_FILES = frozenset(("", "<anonymous>", "[native code]", "native", "native code", "<unknown>"))
_NO_FUNCTIONS = frozenset((
    "", "?", "<anonymous>", "anonymous", "<unknown>", "eval", "eval code", "global code", "module code", "<lambda>",
    "anonymous function", "(anonymous function)",
))  # fmt: skip
_BUILD_HASH = re.compile(r"[.-](?=[0-9a-f]*\d)[0-9a-f]{6,40}(?=[.-]|$)")
_BUNDLE_HASH = re.compile(r"-(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{8}(?=\.\w{1,5}$)", re.ASCII)  # Vite's
_JAVA_PROXY = re.compile(r"\$\$.*|(?<=Accessor)\d+|(?<=Proxy)\d+|\$\d+(?=\.|$)")
_RUBY_BLOCK = re.compile(r"^(?:(?:block|rescue|ensure)(?: \(\d+ levels\))? in )+")
_PHP_ANONYMOUS = re.compile(r"class@anonymous.*", re.DOTALL)
_MAX_LINE_LENGTH = 120


def _file(name: str) -> str:
    name = name.split("?", 1)[0].split("#", 1)[0].replace("\\", "/").rstrip("/")
    return _BUILD_HASH.sub("", _BUNDLE_HASH.sub("", name.rpartition("/")[2]).lower())


def _function(name: str, platform: str) -> str:
    if platform in ("javascript", "node"):
        # Browsers name the same function differently: Object.handle, async handle, new Order, get total. In Firefox,
        # total/< is an anonymous function inside total, and setup/total is total.
        name = name.removeprefix("async ").removeprefix("new ").rpartition("*")[2]
        name = name.partition(" [as ")[0].rpartition("/")[2].rpartition(".")[2].strip("<>* ")
        name = name.removeprefix("get ").removeprefix("set ")
    elif platform == "java":
        name = "lambda" if name.startswith("lambda$") else _JAVA_PROXY.sub("", name)
        name = "access" if name.startswith("access$") else name
    elif platform == "ruby":
        name = _RUBY_BLOCK.sub("", name)
    elif platform == "php":
        name = _PHP_ANONYMOUS.sub("class@anonymous", name)
    return "" if name.lower() in _NO_FUNCTIONS else name


@lru_cache(maxsize=20_000)
def _frame(platform: str, module: str, filename: str, function: str, line: str) -> tuple[str, ...]:
    """Return the parts of a frame that count, or () if it identifies nothing."""
    if filename in _NO_FILES and not module:
        return ()
    if platform == "java":
        module = _JAVA_PROXY.sub("", module)
    if platform == "php":
        module = _PHP_ANONYMOUS.sub("class@anonymous", module)
    is_script = platform in ("javascript", "node")
    where = module if module and not is_script else _file(filename) or module
    line = line.strip()
    return (
        where,
        _function(function, platform),
        line if platform in _PLATFORMS_WITH_SOURCE_LINES and len(line) <= _MAX_LINE_LENGTH else "",
    )


class Frames(list[dict[str, Any]], Scrubbed):
    """A stack's scrubbed frames, and their JSON.

    Stacks with the same key do not differ in anything that this module reads.
    """

    __slots__ = ("encoded", "key")

    def __init__(
        self, frames: Iterable[dict[str, Any]], encoded: tuple[Any, ...], key: tuple[int, ...]
    ) -> None:
        super().__init__(frames)
        self.encoded, self.key = encoded, key


def exceptions_of(event: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the exceptions of a normalized event, or [] if the app's scrub keys filter them as a whole."""
    exception = event.get("exception")
    values = exception.get("values") if isinstance(exception, dict) else None
    return values if isinstance(values, list) else []


def frames_of(stacktrace: Any) -> list[dict[str, Any]]:
    """Return the frames of a normalized stack trace, or [] if the app's scrub keys filter them as a whole."""
    frames = stacktrace.get("frames") if isinstance(stacktrace, dict) else None
    return frames if isinstance(frames, list) else []


def is_synthetic(exception: Mapping[str, Any]) -> bool:
    """Return True if the SDK created the exception itself, so that its type has no meaning."""
    mechanism = exception.get("mechanism")
    return isinstance(mechanism, dict) and bool(mechanism.get("synthetic"))


def logentry_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message of a normalized event, or {} if the app's scrub keys filter it as a whole."""
    entry = event.get("logentry")
    return entry if isinstance(entry, dict) else {}


_cached_stacks: dict[tuple[str, tuple[int, ...]], list[str]] = {}
_MAX_CACHED_STACKS = 500


def _stack(stacktrace: Any, platform: str) -> list[str]:
    """Return the parts of a stack that count."""
    frames = frames_of(stacktrace)
    if not frames:
        return []
    if type(frames) is not Frames:
        return _stack_parts(frames, platform)
    key = (platform, frames.key)
    parts = _cached_stacks.get(key)
    if parts is None:
        parts = _stack_parts(frames, platform)
        if len(frames) <= _MAX_CACHED_PARTS:
            if len(_cached_stacks) >= _MAX_CACHED_STACKS:
                _cached_stacks.clear()
            _cached_stacks[key] = parts
    return parts


def _stack_parts(frames: list[dict[str, Any]], platform: str) -> list[str]:
    if platform == "javascript":
        frames = _after_last_await(frames)
    keys: list[tuple[str, ...]] = []
    own = [frame for frame in frames if frame.get("in_app")]
    for frame in own or frames:
        get = frame.get
        key = _frame(
            get("platform") or platform,
            get("module") or "",
            get("filename") or get("abs_path") or "",
            get("function") or "",
            get("context_line") or "",
        )
        if key and (
            not keys or keys[-1] != key
        ):  # direct recursion counts as one step, at any depth
            keys.append(key)
    is_usable = any(key[1] or key[2] for key in keys)
    return [part for key in keys for part in key] if is_usable else []


def _after_last_await(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop the frames before an await, a timer or an event: browsers report them differently or not at all."""
    for place in range(len(frames) - 1, -1, -1):
        function = frames[place].get("function") or ""
        if function.startswith("async ") or "*" in function:
            return frames[place + 1 :] or frames
    return frames


# --- messages ---------------------------------------------------------------------------------------------------
_VARIABLE = re.compile(
    r"""(?P<filtered>\[Filtered\])
      | (?P<url>\b[a-z][a-z0-9+.-]{1,20}://[^\s"'<>]{1,2000}+)
      | (?P<email>[\w.+-]{1,64}+@[\w-]{1,64}+(?:\.[\w-]{1,64}+)+)
      | (?P<uuid>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)
      | (?P<date>\b\d{4}-\d\d-\d\d(?:[T\ ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?)
      | (?P<ip>\b\d{1,3}(?:\.\d{1,3}){3}\b)
      | (?P<hex>\b0x[0-9a-f]{1,64}\b|\b(?=[0-9a-f]{0,63}\d)[0-9a-f]{8,64}\b)
      | (?P<duration>\b\d{1,20}(?:\.\d{1,20})?\ ?(?:ms|us|ns|s|min|h)\b)
      | (?P<number>(?<![\w.])[-+]?\d{1,40}(?:[.,]\d{1,40})*(?![\w]))
      | (?P<quoted>"[^"\n]{0,500}"|'[^'\n]{0,500}'(?!\w))
    """,
    re.VERBOSE | re.IGNORECASE,
)
_MAX_MESSAGE_LENGTH = 2_000


def without_variables(message: str) -> str:
    """Replace the parts of a message that differ between occurrences by placeholders."""
    return _VARIABLE.sub(lambda match: f"<{match.lastgroup}>", message[:_MAX_MESSAGE_LENGTH])


# --- events -------------------------------------------------------------------------------------------------------
def _default_parts(event: Mapping[str, Any]) -> list[str]:
    csp = event.get("csp")
    if isinstance(csp, dict):
        return ["csp", str(csp.get("effective_directive", "")), str(csp.get("blocked_origin", ""))]
    platform = event.get("platform") or "other"
    exceptions = exceptions_of(event)
    parts: list[str] = []
    has_stack = False
    for exception in exceptions:
        parts += ["type", "" if is_synthetic(exception) else exception.get("type") or ""]
        stack = _stack(exception.get("stacktrace"), platform)
        has_stack = has_stack or bool(stack)
        parts += stack
    if exceptions:
        if not has_stack:
            for exception in exceptions:
                parts += ["value", without_variables(exception.get("value") or "")]
        return parts
    entry = logentry_of(event)
    message = entry.get("message") or entry.get("formatted") or ""
    if message:
        return ["message", without_variables(message)]
    return ["stack", *_stack(event.get("stacktrace"), platform)]


def _digest(parts: tuple[str, ...]) -> str:
    """Hash the parts with length prefixes, so that ("ab", "c") and ("a", "bc") differ."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    return blake2b(
        b"".join([b"%d:%b" % (len(part), part) for part in encoded]), digest_size=16
    ).hexdigest()


_cached_digest = lru_cache(maxsize=500)(_digest)
_MAX_CACHED_PARTS = 100


def _custom(value: Any) -> list[str]:
    if not isinstance(value, list):
        return []
    return [
        part if isinstance(part, str) else str(part)
        for part in value
        if isinstance(part, str | int | float)
    ]


def fingerprint(event: Mapping[str, Any]) -> str:
    """Return the hash of a normalized event's group, 32 hex digits."""
    own = _custom(event.get("fingerprint"))
    if not own or (len(own) == 1 and _DEFAULT.fullmatch(own[0])):
        default = tuple(_default_parts(event))
        is_small = len(default) <= _MAX_CACHED_PARTS
        return _cached_digest(default) if is_small else _digest(default)
    parts = ["custom"]
    for part in own:
        if _DEFAULT.fullmatch(part):
            parts += _default_parts(event)
        else:
            parts.append(part)
    return _digest(tuple(parts))
