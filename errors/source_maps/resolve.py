"""Resolve the frames of an event with the source maps of its app. This module does not write to the database."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from errors.source_maps.frames import is_minified, merged, original
from errors.source_maps.lookup import Maps, Script, UnusableMap, path_of, scripts_of

MAX_PROBLEMS = 10
# Contains the original frames, and None for each frame that stays unchanged.
Stack = list[dict[str, Any] | None]


@dataclass
class Resolution:
    """The original frames of an event, by the place of their stack, and sentences that explain why some are missing."""

    stacks: dict[str, Stack] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return not self.problems


def stacks_of(event: Mapping[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the stacks of a normalized event, each with its place: `exception.0`, `threads.1`, `stacktrace`."""
    for name in ("exception", "threads"):
        holder = event.get(name)
        values = holder.get("values") if isinstance(holder, dict) else None
        for number, value in enumerate(values if isinstance(values, list) else ()):
            frames = _frames(value.get("stacktrace")) if isinstance(value, dict) else []
            if frames:
                yield f"{name}.{number}", frames
    if frames := _frames(event.get("stacktrace")):
        yield "stacktrace", frames


def _frames(stacktrace: Any) -> list[dict[str, Any]]:
    frames = stacktrace.get("frames") if isinstance(stacktrace, dict) else None
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        return []
    return frames


def resolve(event: Mapping[str, Any], maps: Maps) -> Resolution:
    """Look up the original frames of an event's minified frames. Raises StorageUnavailable."""
    platform = str(event.get("platform") or "")
    release, dist = str(event.get("release") or ""), str(event.get("dist") or "")
    debug_ids = scripts_of(event)
    result = Resolution()
    problems: dict[str, None] = {}
    for place, frames in stacks_of(event):
        stack: Stack = []
        for frame in frames:
            found = None
            if is_minified(frame, platform):
                url = str(frame.get("abs_path") or frame.get("filename"))
                script = Script(url, debug_ids.get(path_of(url), ""))
                try:
                    source_map = maps.open(script, release=release, dist=dist)
                    if source_map is not None:
                        found = original(frame, source_map)
                    elif frame.get("in_app") is not False:
                        problems[_missing(script, release)] = None
                except UnusableMap as error:
                    problems[str(error)] = None
            stack.append(found)
        if any(stack):
            result.stacks[place] = stack
    result.problems = list(problems)[:MAX_PROBLEMS]
    return result


def _missing(script: Script, release: str) -> str:
    name = script.url.split("?", 1)[0].rpartition("/")[2] or script.url
    if script.debug_id:
        return f"No source map for {name} (debug id {script.debug_id}) was uploaded."
    return f"No source map for {name} was uploaded for release {release or '(none)'}."


def apply(event: Mapping[str, Any], stacks: Mapping[str, Stack]) -> dict[str, Any]:
    """Return a copy of the event with the original frames instead of the minified frames."""
    changed = dict(event)
    for place, stack in stacks.items():
        name, _, number = place.partition(".")
        if not number:
            changed[name] = _with_frames(event[name], stack)
            continue
        if changed[name] is event[name]:
            changed[name] = {**event[name], "values": list(event[name]["values"])}
        values = changed[name]["values"]
        value = values[int(number)]
        values[int(number)] = {**value, "stacktrace": _with_frames(value["stacktrace"], stack)}
    return changed


def _with_frames(stacktrace: Mapping[str, Any], stack: Stack) -> dict[str, Any]:
    frames = [
        merged(frame, found) if found else frame
        for frame, found in zip(stacktrace["frames"], stack, strict=True)
    ]
    return {**stacktrace, "frames": frames}
