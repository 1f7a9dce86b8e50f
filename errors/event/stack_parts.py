"""Reduce a stack trace to the parts that identify the code, for scripts, managed languages and native code."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from errors.event.accessors import Frames, frames_of

# --- frames ------------------------------------------------------------------------------------------------
_PLATFORMS_WITH_SOURCE_LINES = frozenset(("python", "javascript", "node", "ruby"))
_NO_FILES = frozenset(("", "<anonymous>", "[native code]", "native", "native code", "<unknown>"))
_NO_FUNCTIONS = frozenset((
    "", "?", "<anonymous>", "anonymous", "<unknown>", "eval", "eval code", "global code", "module code", "<lambda>",
    "anonymous function", "(anonymous function)",
))  # fmt: skip
_BUILD_HASH = re.compile(r"[.-](?=[0-9a-f]*\d)[0-9a-f]{6,40}(?=[.-]|$)")
# For an inline script, the file is the URL of its page, whose last part can be the host. Replace an IP address: it was
# filtered out of older events, and new events must get the same fingerprint.
_IP_HOST = re.compile(
    r"^\d{1,3}(?:\.\d{1,3}){3}(?=:\d{1,5}$|$)|(?<=^\[)[0-9A-Fa-f:.]{2,45}(?=\](?::\d{1,5})?$)"
)
# The bundler Vite adds a hash of this form to file names.
_BUNDLE_HASH = re.compile(r"-(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{8}(?=\.\w{1,5}$)", re.ASCII)
_JAVA_PROXY = re.compile(r"\$\$.*|(?<=Accessor)\d+|(?<=Proxy)\d+|\$\d+(?=\.|$)")
_RUBY_BLOCK = re.compile(r"^(?:(?:block|rescue|ensure)(?: \(\d+ levels\))? in )+")
_PHP_ANONYMOUS = re.compile(r"class@anonymous.*", re.DOTALL)
_MAX_LINE_LENGTH = 120
_SCRIPT_PLATFORMS = frozenset(("javascript", "node"))
NATIVE_PLATFORMS = frozenset(("native", "cocoa", "c", "objc", "swift"))
_EVAL_FILES = frozenset(("eval code", "eval", "anonymous", "debugger eval code"))
_SCRIPT_EXTENSION = re.compile(r"\.(?:[cm]?[jt]sx?|vue|svelte)$")
_NO_SYMBOLS = frozenset(
    ("", "?", "<unknown>", "<redacted>", "<symbol stripped>", "unknown", "(null)", "???")
)
_ADDRESS_AS_SYMBOL = re.compile(r"(?:0x)?[0-9a-f]{6,16}|sub_[0-9a-f]+", re.IGNORECASE)
_SYMBOL_SUFFIX = re.compile(
    r"::h[0-9a-f]{16}$|\s*\[clone [^\]]*\]|\.(?:isra|part|constprop|cold)[.\d]*|\s\+\s\d+$"
)
_BLOCK_INVOKE = re.compile(r"^__\d+(?=[-+]\[)|_block_invoke(?:_?\d+)?$")
_MAX_NATIVE_FRAMES = 50


def _file(name: str) -> str:
    name = name.split("?", 1)[0].split("#", 1)[0].replace("\\", "/").rstrip("/")
    name = _IP_HOST.sub("[filtered]", name.rpartition("/")[2])
    return _BUILD_HASH.sub("", _BUNDLE_HASH.sub("", name).lower())


def _function(name: str, platform: str, version: int) -> str:
    if platform in _SCRIPT_PLATFORMS:
        # Browsers name the same function differently: Object.handle, async handle, new Order, get total. In Firefox,
        # total/< is an anonymous function inside total, and setup/total is total.
        name = name.removeprefix("async ").removeprefix("new ").rpartition("*")[2]
        name = name.partition(" [as ")[0]
        if version > 1:
            while name.endswith("/<"):
                name = name[:-2]
        name = name.rpartition("/")[2].rpartition(".")[2].strip("<>* ")
        name = name.removeprefix("get ").removeprefix("set ")
        if version > 1:
            # Some browsers report a call of `order` as `new Order`, so case is ignored.
            name = name.lower()
    elif platform == "java":
        name = "lambda" if name.startswith("lambda$") else _JAVA_PROXY.sub("", name)
        name = "access" if name.startswith("access$") else name
    elif platform == "ruby":
        name = _RUBY_BLOCK.sub("", name)
    elif platform == "php":
        name = _PHP_ANONYMOUS.sub("class@anonymous", name)
    return "" if name.lower() in _NO_FUNCTIONS else name


@lru_cache(maxsize=20_000)
def _frame(
    platform: str, module: str, filename: str, function: str, line: str, version: int
) -> tuple[str, ...]:
    """Return the parts of a frame that identify the code, or () if there are none."""
    if filename in _NO_FILES and not module:
        return ()
    if version > 1 and platform in _SCRIPT_PLATFORMS:
        return _script_frame(platform, module, filename, function, line, version)
    if platform == "java":
        module = _JAVA_PROXY.sub("", module)
    if platform == "php":
        module = _PHP_ANONYMOUS.sub("class@anonymous", module)
    is_script = platform in ("javascript", "node")
    where = module if module and not is_script else _file(filename) or module
    line = line.strip()
    return (
        where,
        _function(function, platform, version),
        line if platform in _PLATFORMS_WITH_SOURCE_LINES and len(line) <= _MAX_LINE_LENGTH else "",
    )


def _script_frame(
    platform: str, module: str, filename: str, function: str, line: str, version: int
) -> tuple[str, ...]:
    """Return the parts of a script's frame that identify the code.

    A frame without a function name is used only if it has a short source line, because not all browsers report such
    frames. Frames of evaluated code are not used. A file is identified by its name without extension, which is also the
    last part of a module's name.
    """
    name = _function(function, platform, version)
    line = line.strip()
    line = line if len(line) <= _MAX_LINE_LENGTH else ""
    if not (name or line) or filename in _EVAL_FILES:
        return ()
    where = _SCRIPT_EXTENSION.sub("", _file(filename)) or _file(module)
    return where, name, line


_cached_stacks: dict[tuple[int, str, tuple[int, ...]], list[str]] = {}
_MAX_CACHED_STACKS = 500


def parts_of_stack(stacktrace: Any, platform: str, version: int) -> list[str]:
    """Return the parts of a stack trace that identify the code, or [] if no frame has a function or source line."""
    frames = frames_of(stacktrace)
    if not frames:
        return []
    if type(frames) is not Frames:
        return _stack_parts(frames, platform, version)
    key = (version, platform, frames.key)
    parts = _cached_stacks.get(key)
    if parts is None:
        parts = _stack_parts(frames, platform, version)
        if len(frames) <= MAX_CACHED_PARTS:
            if len(_cached_stacks) >= _MAX_CACHED_STACKS:
                _cached_stacks.clear()
            _cached_stacks[key] = parts
    return parts


def _stack_parts(frames: list[dict[str, Any]], platform: str, version: int) -> list[str]:
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
            version,
        )
        # Direct recursion counts as one frame, at any depth.
        if key and (not keys or keys[-1] != key):
            keys.append(key)
    is_usable = any(key[1] or key[2] for key in keys)
    return [part for key in keys for part in key] if is_usable else []


def _after_last_await(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the frames after the last await, timer or event, because browsers report earlier frames differently."""
    for place in range(len(frames) - 1, -1, -1):
        function = frames[place].get("function") or ""
        if function.startswith("async ") or "*" in function:
            return frames[place + 1 :] or frames
    return frames


# --- native code ------------------------------------------------------------------------------------------
def parts_of_native_stack(event: Mapping[str, Any], stacktrace: Any) -> list[str]:
    """Return the parts of a native stack trace that identify the code.

    Prefer the symbols of the app's own code, then the symbols of any code, then addresses within packages (which differ
    between builds), and finally the names of packages. Only the innermost _MAX_NATIVE_FRAMES frames are used.
    """
    frames = frames_of(stacktrace)[-_MAX_NATIVE_FRAMES:]
    own = [frame for frame in frames if frame.get("in_app")]
    for some in (own, frames):
        if parts := _distinct(_symbol(frame) for frame in some):
            return parts
    images = _images(event)
    located = [_located(frame, images) for frame in frames]
    addressed = _distinct((package, offset) for package, offset in located if offset)
    return addressed or _distinct((package, "") for package, _ in located)


def _distinct(keys: Iterable[tuple[str, str]]) -> list[str]:
    """Return the parts of all keys, without empty keys. Consecutive repetitions of a key count once."""
    kept: list[tuple[str, str]] = []
    for key in keys:
        if any(key) and (not kept or kept[-1] != key):
            kept.append(key)
    return [part for key in kept for part in key]


def _symbol(frame: Mapping[str, Any]) -> tuple[str, str]:
    """Return a frame's package or file, and its symbol, or ("", "") if it has no usable symbol."""
    name = frame.get("function") or frame.get("raw_function") or frame.get("symbol") or ""
    name = _BLOCK_INVOKE.sub("", _SYMBOL_SUFFIX.sub("", name if isinstance(name, str) else ""))
    name = _without_arguments(name.strip())
    if name.lower() in _NO_SYMBOLS or _ADDRESS_AS_SYMBOL.fullmatch(name):
        return "", ""
    return _package(frame) or _file(str(frame.get("filename") or "")), name


def _without_arguments(name: str) -> str:
    """Return the name of a C++ function without its parameters: pay(int, char const*) const becomes pay."""
    start = name.find("(", 1)
    while start > 0 and name.startswith(("(anonymous", "()"), start):
        start = name.find("(", start + 2)
    return name[:start] if start > 0 and name[0] not in "-+[" else name


def _package(frame: Mapping[str, Any]) -> str:
    package = frame.get("package")
    return _file(package) if isinstance(package, str) else ""


def _images(event: Mapping[str, Any]) -> list[tuple[int, int, str]]:
    """Return the start address, end address and name of each loaded image, unless its address or name is missing."""
    meta = event.get("debug_meta")
    images = meta.get("images") if isinstance(meta, dict) else None
    found = []
    for image in images if isinstance(images, list) else ():
        if isinstance(image, dict):
            start, size = _number(image.get("image_addr")), _number(image.get("image_size"))
            name = image.get("code_file") or image.get("name") or image.get("debug_file")
            if start and isinstance(name, str):
                found.append((start, start + (size or 0), _file(name)))
    return found


def _located(frame: Mapping[str, Any], images: list[tuple[int, int, str]]) -> tuple[str, str]:
    """Return the package that contains the frame's address, and the hex offset in it. Each is "" if unknown."""
    address, package = _number(frame.get("instruction_addr")), _package(frame)
    if address is None:
        return package, ""
    start = _number(frame.get("image_addr"))
    for first, end, name in images:
        if first <= address < end:
            start, package = first, package or name
            break
    return package, f"{address - start:x}" if start and package and address >= start else ""


def _number(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return int(value, 0) if isinstance(value, str) and len(value) < 40 else None
    except ValueError:
        return None


MAX_CACHED_PARTS = 100
