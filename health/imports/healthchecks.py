"""Read the response of healthchecks to `GET /api/v1/checks/` (or v2, v3)."""

import json
import re
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from health.imports.imported import (
    TITLE_LENGTH,
    Imported,
    UnreadableFile,
    Values,
    literal,
    name_of,
    to_minutes,
)

PREFIX = "hc"
# Heartbeats of the portal lack these features of checks, so an import lists them as lost.
_UNSUPPORTED = {
    "manual_resume": "the manual resumption",
    "filter_subject": "the filter by subject",
    "filter_body": "the filter by body",
    "filter_http_body": "the filter by body",
    "start_kw": "the keywords of a start",
    "success_kw": "the keywords of a success",
    "failure_kw": "the keywords of a failure",
    "subject": "the keywords of a success",
    "subject_fail": "the keywords of a failure",
    "methods": "the restriction to POST",
    "desc": "the description",
}
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def read_file(path: Path) -> Imported:
    """Return the content of an exported file. Raises UnreadableFile if the file is not a response of this API."""
    try:
        export = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UnreadableFile(f"the file is not a JSON document: {error}") from error
    checks = export.get("checks") if isinstance(export, dict) else export
    if not isinstance(checks, list) or not all(isinstance(check, dict) for check in checks):
        raise UnreadableFile("this is not the answer of healthchecks' API: `checks` is missing")
    imported = Imported()
    for number, check in enumerate(checks, start=1):
        _add(imported, number, check)
    if checks:
        imported.notes.append(
            "Integrations and the history of checks are not in this export. Alerts are routed by their type."
        )
    return imported


def _add(imported: Imported, number: int, check: Mapping[str, Any]) -> None:
    title = str(check.get("name") or f"Check {number}")

    def note(text: str) -> None:
        imported.notes.append(f"{title}: {text}.")

    schedule = _schedule(check, note)
    if not schedule:
        note("it is not imported, because it has neither a period nor a schedule")
        return
    key = _ping_key(check)
    code = key.hex if key else str(check.get("unique_key") or number)
    grace = to_minutes(_seconds(check.get("grace")), note, "the grace time", lowest=0)
    values: Values = {
        "name": name_of(PREFIX, code[:8], title),
        "title": title[:TITLE_LENGTH],
        "slug": check.get("slug") or None,
        "tags": ", ".join(str(check.get("tags") or "").split()) or None,
        "is_enabled": check.get("status") != "paused",
        "fail_after": 1,
        "recover_after": 1,
        "margin_minutes": grace,
        # The grace time of healthchecks also limits the duration of a run.
        "max_runtime_minutes": max(grace, 1),
        **schedule,
    }
    lost = {text for member, text in _UNSUPPORTED.items() if check.get(member)}
    if lost:
        note(f"{', '.join(sorted(lost))}: not imported")
    if key:
        imported.ping_keys[values["name"]] = key
    else:
        note("a read-only export has no ping address; the heartbeat gets a new one")
    imported.add("heartbeats", {member: literal(value) for member, value in values.items()})


def _schedule(check: Mapping[str, Any], note: Callable[[str], None]) -> Values:
    if check.get("schedule"):
        return {"crontab": str(check["schedule"]), "time_zone": str(check.get("tz") or "UTC")}
    if period := _seconds(check.get("timeout")):
        return {"interval_minutes": to_minutes(period, note, "the period")}
    return {}


def _seconds(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _ping_key(check: Mapping[str, Any]) -> uuid.UUID | None:
    """Return the id in the ping URL, or None. The heartbeat keeps the id, so that the URL remains valid."""
    for member in ("uuid", "ping_url", "update_url"):
        if found := _UUID.search(str(check.get(member) or "")):
            return uuid.UUID(found[0])
    return None
