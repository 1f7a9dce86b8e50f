"""Parse stack traces in the text format of Python, JavaScript or Java into exceptions with frames.

OpenTelemetry sends stack traces as text. Parsed into frames, they can be grouped and shown like those of Sentry SDKs.
"""

import re
from collections.abc import Callable
from typing import Any

MAX_LENGTH = 200_000  # Further characters of a stack trace are ignored.
MAX_EXCEPTIONS = 20  # The earliest causes of a longer chain are dropped.

Frame = dict[str, Any]
Exception_ = dict[str, Any]

_PYTHON_START = "Traceback (most recent call last):"
_PYTHON_FRAME = re.compile(r'\s*File "([^"\n]{1,1000})", line (\d{1,9})(?:, in (.{1,300}))?$')
_PYTHON_LINK = re.compile(
    r"\n[ \t]{0,8}(?:During handling of the above exception, another exception occurred"
    r"|The above exception was the direct cause of the following exception):[ \t]{0,8}\n"
)
# Since Python 3.11, ^^^^ and ~~~ mark the failing part of a line.
_PYTHON_MARKS = re.compile(r"[\s^~]*")
_PYTHON_LIBRARY = re.compile(
    r"(?:^|/)(?:lib/python[\d.]+/(?:(?:site|dist)-packages/)?|(?:site|dist)-packages/)(.*)"
)
_JAVA_FRAME = re.compile(
    r"\s*at (?:[\w.@-]{0,200}/){0,2}([\w.$]{1,500})\.([\w$<>]{1,200})\(([^()\n]{0,300})\)"
)
_JAVA_LIBRARY = re.compile(
    r"(?:java|javax|jdk|sun|com\.sun|jakarta|kotlin|kotlinx|scala|groovy|org\.springframework|org\.apache"
    r"|org\.hibernate|org\.eclipse|io\.netty|io\.opentelemetry|reactor|android|androidx|com\.google)\."
)
_JS_V8_FRAME = re.compile(
    r"\s*at (?:(.{1,300}?) \()?([^()\s][^()\n]{0,1000}?):(\d{1,9}):(\d{1,9})\)?$"
)
_JS_OTHER_FRAME = re.compile(r"([^@\n]{0,300})@([^\n]{1,1000}?):(\d{1,9}):(\d{1,9})$")
_JS_LIBRARY = re.compile(r"(?:^|/)node_modules/|^node:|^internal/|^\(?native|^<anonymous>")


def parse(text: str, *, type: str, value: str) -> list[Exception_]:
    """Parse a stack trace into a chain of exceptions, causes first. The last one gets the given value and type.

    If `type` is empty, the parsed type is used. If the text cannot be parsed, the chain contains only this exception,
    without frames.
    """
    text = text[:MAX_LENGTH].replace("\r\n", "\n")
    parsers: tuple[Callable[[str], list[Exception_]], ...] = (_python, _java, _javascript)
    chain: list[Exception_] = next((found for parser in parsers if (found := parser(text))), [{}])
    module, _, name = type.rpartition(".")
    chain[-1] |= {"type": name or type or chain[-1].get("type") or "Error", "value": value}
    if module:
        chain[-1]["module"] = module
    return chain[-MAX_EXCEPTIONS:]


def _exception(header: str, frames: list[Frame]) -> Exception_:
    """Return an exception with these frames, and with its module, type and value from a header `module.Type: value`."""
    kind, _, value = header.strip().partition(": ")
    module, _, name = kind.strip().rstrip(":").rpartition(".")
    found: Exception_ = {"type": name[:200], "value": value, "stacktrace": {"frames": frames}}
    return found | {"module": module[:200]} if module else found


def _python(text: str) -> list[Exception_]:
    if 'File "' not in text:
        return []
    found = []
    for part in _PYTHON_LINK.split(f"\n{text}"):
        lines = part.partition(_PYTHON_START)[2].strip("\n").split("\n")
        frames: list[Frame] = []
        header: list[str] = []
        for line in lines:
            match = _PYTHON_FRAME.match(line)
            if match:
                frames.append(_python_frame(match[1], int(match[2]), match[3] or "<module>"))
            elif line.startswith(" ") and not header:
                if (
                    frames
                    and "context_line" not in frames[-1]
                    and not _PYTHON_MARKS.fullmatch(line)
                ):
                    # Python reindents the printed line, so its original indentation is unknown.
                    frames[-1]["context_line"] = line.strip()
            else:
                header.append(line)
        if frames:
            found.append(_exception("\n".join(header), frames))
    return found


def _python_frame(path: str, line: int, function: str) -> Frame:
    frame: Frame = {"abs_path": path, "filename": path, "lineno": line, "function": function}
    library = _PYTHON_LIBRARY.search(path.replace("\\", "/"))
    frame["in_app"] = library is None and not path.startswith("<")
    if library:
        frame["filename"] = library[1]
        module = library[1].removesuffix(".py").replace("/", ".")
        frame["module"] = module.removesuffix(".__init__")
    return frame


def _java(text: str) -> list[Exception_]:
    found: list[Exception_] = []
    header: list[str] = []
    frames: list[Frame] = []
    is_suppressed = False
    for line in text.split("\n"):
        match = _JAVA_FRAME.match(line)
        if match and not is_suppressed:
            frames.append(_java_frame(match[1], match[2], match[3]))
        elif line.startswith("Caused by: "):
            found.append(_exception("\n".join(header), frames[::-1]))
            header, frames, is_suppressed = [line.removeprefix("Caused by: ")], [], False
        elif line.lstrip().startswith("Suppressed: "):
            is_suppressed = True
        elif not frames and not is_suppressed:
            header.append(line)
    found.append(_exception("\n".join(header), frames[::-1]))
    # Java prints causes last, but the chain must list them first.
    return found[::-1] if any(one["stacktrace"]["frames"] for one in found) else []


def _java_frame(owner: str, function: str, place: str) -> Frame:
    file, _, line = place.partition(":")
    frame: Frame = {
        "module": owner,
        "function": function,
        "in_app": not _JAVA_LIBRARY.match(f"{owner}."),
    }
    if "." in file:
        frame["filename"] = file
    if line.isdecimal() and len(line) < 10:
        frame["lineno"] = int(line)
    return frame


def _javascript(text: str) -> list[Exception_]:
    frames = []
    for line in text.split("\n"):
        match = _JS_V8_FRAME.match(line) or _JS_OTHER_FRAME.match(line)
        if match:
            frames.append(_js_frame(match[1] or "", match[2], int(match[3]), int(match[4])))
    return [{"stacktrace": {"frames": frames[::-1]}}] if frames else []


def _js_frame(function: str, path: str, line: int, column: int) -> Frame:
    path = path.removeprefix("async ").removeprefix("file://")
    return {
        "function": function.removeprefix("async ").removeprefix("new ") or "?",
        "filename": path,
        "abs_path": path,
        "lineno": line,
        "colno": column,
        "in_app": not _JS_LIBRARY.search(path),
    }
