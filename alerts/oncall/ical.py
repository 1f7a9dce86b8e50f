"""Write calendars in iCalendar format (RFC 5545) for calendar programs that subscribe to them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

MAX_LINE_BYTES = 75


@dataclass(frozen=True)
class CalendarEvent:
    uid: str  # Calendar programs recognize an entry by its uid.
    starts_at: datetime
    ends_at: datetime
    summary: str
    description: str = ""


def write_calendar(name: str, events: Iterable[CalendarEvent], *, now: datetime) -> str:
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//opsportal//on call//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        f"X-WR-CALNAME:{_escape(name)}",
        "REFRESH-INTERVAL;VALUE=DURATION:PT1H",
        "X-PUBLISHED-TTL:PT1H",
    ]
    for event in events:
        lines += [
            "BEGIN:VEVENT",
            f"UID:{event.uid}",
            f"DTSTAMP:{_stamp(now)}",
            f"DTSTART:{_stamp(event.starts_at)}",
            f"DTEND:{_stamp(event.ends_at)}",
            f"SUMMARY:{_escape(event.summary)}",
            *([f"DESCRIPTION:{_escape(event.description)}"] if event.description else []),
            # TRANSPARENT prevents calendar programs from showing the person as busy during a shift.
            "TRANSP:TRANSPARENT",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return "".join(f"{_fold(line)}\r\n" for line in lines)


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _escape(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return "\\n".join(escaped.splitlines())


def _fold(line: str) -> str:
    """Break a line between characters into parts of at most MAX_LINE_BYTES bytes.

    Each part after the first one begins with a space, as RFC 5545 requires.
    """
    parts, length = [""], 0
    for character in line:
        size = len(character.encode())
        if length + size > MAX_LINE_BYTES:
            parts.append(" ")
            length = 1
        parts[-1] += character
        length += size
    return "\r\n".join(parts)
