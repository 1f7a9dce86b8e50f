"""Preserve IP addresses that are hosts in the locations of frames and in the app's own URLs.

The URL of a script names a server of the app, even if the host is an IP address. The scrubber filters every IP address,
because it does not know where in the event a text occurs. Therefore, this module scrubs locations whose host is an IP
address separately, and keeps the host.
"""

import re
from collections.abc import Iterator
from typing import Any

from core.lib.scrub import Scrubber
from errors.event.accessors import Frames, exceptions_of, frames_of

_IP_HOST = re.compile(
    r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]{0,20}://)(?P<user>[^\s/@\"']{0,200}@)?"
    r"(?P<host>\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]{2,45}\])(?P<port>:\d{1,5})?(?=[/?#\s,;)\"']|$)"
)
_FRAME_FIELDS = ("filename", "abs_path", "module")
_EVENT_FIELDS = ("culprit", "transaction")
_CSP_FIELDS = ("document_uri", "source_file", "referrer")
_OWN_HEADERS = frozenset(("host", "origin", "referer"))

Path = tuple[str | int, ...]


def scrub_location(text: str) -> str | None:
    """Return the location scrubbed except for its host, or None if the host is not an IP address."""
    match = _IP_HOST.match(text)
    if match is None:
        return None
    start = Scrubber.text(match["scheme"] + (match["user"] or "")) + match["host"]
    start += match["port"] or ""
    return start + Scrubber.text(text[match.end() :])


def scrub_frame(frame: dict[str, Any], scrubber: Scrubber, depth: int) -> Any:
    """Return a scrubbed copy of a normalized frame that keeps IP addresses as hosts. `depth` is its nesting level."""
    scrubbed = scrubber.scrub(frame, depth)
    kept = dict(_kept(frame, _FRAME_FIELDS))
    return {**scrubbed, **kept} if kept and isinstance(scrubbed, dict) else scrubbed


def find(event: dict[str, Any]) -> list[tuple[Path, str]]:
    """Return the path and the scrubbed text of each location in a normalized event whose host is an IP address.

    Frames from the frame cache are skipped, because they are already scrubbed.
    """
    return list(_find(event))


def restore(event: dict[str, Any], found: list[tuple[Path, str]]) -> None:
    """Write the locations that `find` returned into the scrubbed event, except where the app's scrub keys apply."""
    for path, location in found:
        holder: Any = event
        for step in path[:-1]:
            if isinstance(holder, dict):
                holder = holder.get(step)
            elif isinstance(holder, list) and isinstance(step, int) and step < len(holder):
                holder = holder[step]
            else:
                break
        name = path[-1]
        if isinstance(holder, dict) and name in holder and holder[name] != "[Filtered]":
            holder[name] = location


def _kept(holder: Any, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if type(holder) is not dict:
        return
    for name in names:
        text = holder.get(name)
        if type(text) is str and "://" in text and (location := scrub_location(text)) is not None:
            yield name, location


def _find(event: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    for name, location in _kept(event, _EVENT_FIELDS):
        yield (name,), location
    request = event.get("request")
    if type(request) is dict:
        yield from _of_request(request)
    for name, location in _kept(event.get("tags"), ("url",)):
        yield ("tags", name), location
    if "csp" in event:
        for name, location in _kept(event["csp"], _CSP_FIELDS):
            yield ("csp", name), location
    for place, exception in enumerate(exceptions_of(event)):
        yield from _of_stack(exception, ("exception", "values", place))
    threads = event.get("threads")
    if type(threads) is dict:
        for place, thread in enumerate(threads.get("values") or ()):
            yield from _of_stack(thread, ("threads", "values", place))
    if "stacktrace" in event:
        yield from _of_stack(event, ())
    meta = event.get("debug_meta")
    images = meta.get("images") if type(meta) is dict else None
    for place, image in enumerate(images if type(images) is list else ()):
        for name, location in _kept(image, ("code_file", "debug_file")):
            yield ("debug_meta", "images", place, name), location


def _of_request(request: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield the scrubbed URL of the request, and headers with the same host, if this host is an IP address."""
    url = request.get("url")
    match = _IP_HOST.match(url) if type(url) is str else None
    if match is None:
        return
    assert isinstance(url, str)
    yield ("request", "url"), scrub_location(url) or ""
    headers = request.get("headers")
    own = match["host"] + (match["port"] or "")
    for name, value in headers.items() if type(headers) is dict else ():
        if type(name) is not str or type(value) is not str or name.lower() not in _OWN_HEADERS:
            continue
        if name.lower() == "host":
            if value == own:
                yield ("request", "headers", name), value
            continue
        given = _IP_HOST.match(value)
        if given and given["host"] + (given["port"] or "") == own:
            yield ("request", "headers", name), scrub_location(value) or ""


def _of_stack(holder: Any, path: Path) -> Iterator[tuple[Path, str]]:
    frames = frames_of(holder.get("stacktrace")) if type(holder) is dict else []
    if type(frames) is Frames:
        return
    for place, frame in enumerate(frames):
        for name, location in _kept(frame, _FRAME_FIELDS):
            yield (*path, "stacktrace", "frames", place, name), location
