"""Read the database of Uptime Kuma 1 or 2 (`kuma.db`), or a JSON backup of Uptime Kuma 1.

The columns are those of versions 1.23 and 2.5. Columns that an older version lacks are treated as empty.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from health.imports.imported import (
    TITLE_LENGTH,
    History,
    Imported,
    Point,
    UnreadableFile,
    Values,
    day_of,
    literal,
    name_of,
    to_minutes,
)
from health.imports.kuma_monitors import READERS, Note, Row, parse_json
from health.models import ROLLUP_RETENTION, Tier

PREFIX = "kuma"
DOWN, UP, MAINTENANCE = 0, 1, 3
MAX_TIMEOUT_SECONDS = 15
MAX_INTERVAL_MINUTES = 1_440
# A backup names most columns in camel case. These names are exceptions.
_BACKUP_NAMES = {"accepted_statuscodes": "accepted_statuscodes_json"}
# Maps a type of notification to a kind of channel, and the names of its settings to their names in Uptime Kuma.
CHANNELS: dict[str, tuple[str, dict[str, str]]] = {
    "slack": ("slack", {"webhook_url": "slackwebhookURL"}),
    "discord": ("discord", {"webhook_url": "discordWebhookUrl"}),
    "teams": ("teams", {"webhook_url": "webhookUrl"}),
    "webhook": ("webhook", {"url": "webhookURL"}),
    "telegram": ("telegram", {"token": "telegramBotToken", "chat_id": "telegramChatID"}),
    "PagerDuty": ("pagerduty", {"routing_key": "pagerdutyIntegrationKey"}),
    "smtp": ("email", {"recipients": "smtpTo"}),
}


def read_file(path: Path, *, now: datetime) -> Imported:
    """Read a database or backup and return its content. Raises UnreadableFile if the file is neither."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
        if start.startswith(b"SQLite format 3"):
            return _read_database(path, now=now)
        return _read_backup(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError, sqlite3.Error) as error:
        raise UnreadableFile(
            f"the file is neither a database nor a backup of Uptime Kuma: {error}"
        ) from error


# --- the database --------------------------------------------------------------------------------------
def _read_database(path: Path, *, now: datetime) -> Imported:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if "monitor" not in tables:
            raise UnreadableFile("this database has no table of monitors")

        def rows(table: str) -> list[Row]:
            if table not in tables:
                return []
            found = connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608  names of ours
            return [dict(row) for row in found]

        tags = {tag["id"]: tag["name"] for tag in rows("tag")}
        tags_of: dict[int, list[tuple[str, str]]] = {}
        for one in rows("monitor_tag"):
            given = (tags.get(one["tag_id"], ""), str(one["value"] or ""))
            tags_of.setdefault(one["monitor_id"], []).append(given)
        shown = {group["id"]: group["name"] for group in rows("group") if group["public"]}
        public = {
            one["monitor_id"]: shown[one["group_id"]]
            for one in rows("monitor_group")
            if one["group_id"] in shown
        }
        imported = Imported()
        names = _Monitors(imported, rows("monitor"), tags_of, public).names
        _add_channels(imported, [(one, parse_json(one["config"])) for one in rows("notification")])
        _add_maintenance(imported, rows("maintenance"), rows("monitor_maintenance"), names, now)
        for table, what in (
            ("proxy", "Proxies"),
            ("docker_host", "Docker hosts"),
            ("status_page", "The texts and appearance of status pages"),
        ):
            if found := rows(table):
                imported.notes.append(f"{what} are not imported ({len(found)}).")
        for monitor_id, name in names.items():
            history = _read_history(connection, tables, monitor_id, now)
            if history:
                imported.history[name] = history
    return imported


def _read_history(
    connection: sqlite3.Connection, tables: set[str], monitor_id: int, now: datetime
) -> History:
    """Return the history in hours and days.

    The history is read from the statistics of version 2 or, if there are none, from single results.
    """
    found: History = {}
    for tier, table in ((Tier.HOUR, "stat_hourly"), (Tier.DAY, "stat_daily")):
        if table not in tables:
            continue
        since = (now - ROLLUP_RETENTION[tier]).timestamp()
        query = f"SELECT * FROM {table} WHERE monitor_id = ? AND timestamp >= ?"  # noqa: S608
        for row in connection.execute(query, (monitor_id, since)):
            values = dict(row)
            up = int(values["up"] or 0)
            start = tier.floor(datetime.fromtimestamp(values["timestamp"], tz=UTC))
            found[tier, start] = Point(
                healthy=up,
                unhealthy=int(values["down"] or 0),
                maintenance=int(parse_json(values.get("extras")).get("maintenance") or 0),
                total_ms=float(values["ping"] or 0) * up,
                highest_ms=float(values.get("ping_max") or values["ping"] or 0),
            )
    if found or "heartbeat" not in tables:
        return found
    oldest_hour = now - ROLLUP_RETENTION[Tier.HOUR]
    results = connection.execute(
        "SELECT time, status, ping FROM heartbeat WHERE monitor_id = ? AND time >= ?",
        (monitor_id, f"{now - ROLLUP_RETENTION[Tier.DAY]:%Y-%m-%d %H:%M:%S}"),
    )
    for time, status, ping in results:
        if status not in (DOWN, UP, MAINTENANCE):
            continue
        hour = Tier.HOUR.floor(datetime.fromisoformat(time).replace(tzinfo=UTC))
        _count(found.setdefault((Tier.DAY, day_of(hour)), Point()), status, ping)
        if hour >= oldest_hour:
            _count(found.setdefault((Tier.HOUR, hour), Point()), status, ping)
    return found


def _count(point: Point, status: int, ping: float | None) -> None:
    point.healthy += status == UP
    point.unhealthy += status == DOWN
    point.maintenance += status == MAINTENANCE
    if status == UP and ping:
        point.total_ms += ping
        point.highest_ms = max(point.highest_ms, ping)


# --- the backup ----------------------------------------------------------------------------------------
def _read_backup(backup: Any) -> Imported:
    if not isinstance(backup, dict) or not isinstance(backup.get("monitorList"), list):
        raise UnreadableFile("this JSON is not a backup of Uptime Kuma: `monitorList` is missing")
    imported = Imported()
    rows: list[Row] = []
    tags_of: dict[int, list[tuple[str, str]]] = {}
    for number, one in enumerate(backup["monitorList"], start=1):
        if not isinstance(one, dict):
            raise UnreadableFile(f"monitor {number} of the backup is not an object")
        row = {_BACKUP_NAMES.get(key, _column(key)): value for key, value in one.items()}
        row["id"] = row.get("id") or number
        rows.append(row)
        tags = one.get("tags") or []
        tags_of[row["id"]] = [(str(tag["name"]), str(tag.get("value") or "")) for tag in tags]
    _Monitors(imported, rows, tags_of, {})
    notifications = backup.get("notificationList") or []
    _add_channels(imported, [(one, parse_json(one.get("config"))) for one in notifications])
    imported.notes.append(
        "A backup has no history. Import the file kuma.db instead to include the history."
    )
    return imported


def _column(name: str) -> str:
    """Return the column of a name in camel case, such as `ignore_tls` for `ignoreTls`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


# --- monitors ------------------------------------------------------------------------------------------
class _Monitors:
    """Convert the monitors of Uptime Kuma to monitors and heartbeats.

    `names` maps their numbers to the names of the new objects.
    """

    def __init__(
        self,
        imported: Imported,
        rows: list[Row],
        tags_of: Mapping[int, list[tuple[str, str]]],
        public: Mapping[int, str],
    ) -> None:
        self.imported, self.tags_of, self.public = imported, tags_of, public
        self.rows = {row["id"]: row for row in rows}
        self.names: dict[int, str] = {}
        for row in rows:
            self._add(row)

    def _add(self, row: Row) -> None:
        title, kind = str(row.get("name") or f"Monitor {row['id']}"), str(row.get("type") or "")

        def note(text: str) -> None:
            self.imported.notes.append(f"{title}: {text}.")

        if kind == "group":
            return  # A group becomes the group name of its members and not a component.
        if kind != "push" and kind not in READERS:
            note(f"monitors of the type {kind or '?'} are not supported")
            return
        if row.get("description"):
            note("its description is not imported")
        common: Values = {
            "name": name_of(PREFIX, row["id"], title),
            "title": title[:TITLE_LENGTH],
            "group": self._group(row),
            "tags": self._tags(row),
            "is_public": row["id"] in self.public,
            "is_enabled": bool(row.get("active", True)),
            "recover_after": 1,
        }
        if kind == "push":
            self._put("heartbeats", row, {**common, **self._read_push(row, note)})
            return
        try:
            values = {**common, **self._read_common(row, note), **READERS[kind](row, note)}
        except ValueError as error:
            note(f"it is not imported: {error}")
            return
        self._put("monitors", row, values)

    def _read_push(self, row: Row, note: Note) -> Values:
        note("its push URL changes; the page of the heartbeat shows the new address")
        if row.get("upside_down"):
            note("a heartbeat cannot be upside down")
        minutes = to_minutes(int(row.get("interval") or 60), note, "the interval")
        return {"interval_minutes": minutes, "margin_minutes": 1, "fail_after": 1}

    def _read_common(self, row: Row, note: Note) -> Values:
        minutes = to_minutes(int(row.get("interval") or 60), note, "the interval")
        if minutes > MAX_INTERVAL_MINUTES:
            note("the interval is a day, which is the longest interval")
        values: Values = {
            "interval_minutes": min(minutes, MAX_INTERVAL_MINUTES),
            "fail_after": int(row.get("maxretries") or 0) + 1,
            "timeout_seconds": _timeout(row, note),
        }
        if row.get("upside_down"):
            values["is_inverted"] = True
        if row.get("proxy_id"):
            note("its proxy is not imported")
        return values

    def _put(self, kind: str, row: Row, values: Values) -> None:
        self.names[row["id"]] = values["name"]
        self.imported.add(kind, {name: literal(value) for name, value in values.items()})

    def _group(self, row: Row) -> str:
        """Return the names of the groups around a monitor, or else the name of its group on a status page."""
        names: list[str] = []
        parent, seen = row.get("parent"), {row["id"]}
        while parent in self.rows and parent not in seen:
            seen.add(parent)
            names.insert(0, str(self.rows[parent].get("name") or ""))
            parent = self.rows[parent].get("parent")
        return (" / ".join(names) or self.public.get(row["id"], ""))[:100]

    def _tags(self, row: Row) -> str | None:
        given = self.tags_of.get(row["id"], ())
        tags = [f"{name}:{value}" if value else name for name, value in given]
        return ", ".join(tag.replace(",", " ") for tag in tags if tag) or None


def _timeout(row: Row, note: Note) -> int:
    """Return the monitor's timeout in seconds, or 80 % of its interval if it has none, as Uptime Kuma does.

    Round it, clamp it to 1…MAX_TIMEOUT_SECONDS, and add a note if this changes it.
    """
    given = float(row.get("timeout") or 0) or int(row.get("interval") or 60) * 0.8
    seconds = max(1, min(round(given), MAX_TIMEOUT_SECONDS))
    if seconds != given:
        note(f"the time limit is {seconds} s instead of {given:g} s")
    return seconds


# --- channels and maintenance --------------------------------------------------------------------------
def _add_channels(imported: Imported, notifications: Iterable[tuple[Row, Any]]) -> None:
    count = 0
    for row, config in notifications:
        count += 1
        title = str(row.get("name") or f"Notification {row.get('id')}")
        kind, names = CHANNELS.get(str(config.get("type")), ("", {}))
        settings = {ours: str(config.get(theirs) or "") for ours, theirs in names.items()}
        if not kind or not all(settings.values()):
            kind = config.get("type") or "?"
            imported.notes.append(f"{title}: notifications of the type {kind} are not supported.")
            continue
        values: Values = {
            "name": f"{title[:90]} ({PREFIX})",
            "kind": kind,
            "settings": literal(settings),
            "is_enabled": bool(row.get("active", True)),
            "gets_every_type": bool(row.get("is_default", row.get("isDefault"))),
        }
        if kind == "email":
            values["uses_environment"] = True
            imported.notes.append(f"{title}: e-mail is sent with the portal's own mail settings.")
        imported.add("channels", values)
    if count:
        imported.notes.append(
            "The notifications of single monitors are not imported, because alerts are routed by their type."
        )


def _add_maintenance(
    imported: Imported,
    rows: list[Row],
    links: list[Row],
    names: Mapping[int, str],
    now: datetime,
) -> None:
    for row in rows:
        title = str(row["title"] or f"Maintenance {row['id']}")
        times = list(_single_window(row))
        if not times:
            imported.notes.append(
                f"{title}: maintenance of the type {row['strategy']} is not imported; create a repeated silence."
            )
        elif times[1] > now:
            components = [
                names[link["monitor_id"]]
                for link in links
                if link["maintenance_id"] == row["id"] and link["monitor_id"] in names
            ]
            imported.add(
                "maintenance-windows",
                {
                    "reference": name_of(PREFIX, row["id"], title),
                    "title": title,
                    "text": literal(str(row["description"] or "")),
                    "starts_at": times[0].isoformat(),
                    "ends_at": times[1].isoformat(),
                    "components": components,
                },
            )


def _single_window(row: Row) -> Iterator[datetime]:
    """Yield the start and the end of a single maintenance window, or nothing for windows of other kinds."""
    if row["strategy"] != "single" or not row["start_date"] or not row["end_date"]:
        return
    zone = row.get("timezone") or "UTC"
    info = ZoneInfo(zone) if zone in available_timezones() else UTC
    for name in ("start_date", "end_date"):
        yield datetime.fromisoformat(row[name]).replace(tzinfo=info).astimezone(UTC)
