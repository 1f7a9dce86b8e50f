"""Build a database of Uptime Kuma with the columns that an import reads.

Names, types and defaults match Uptime Kuma's schema: version 1 after all patches up to 1.23, and version 2 after all
migrations up to 2.5. Columns that the import does not read are left out.
"""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_MONITOR = """
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, name VARCHAR(150), active BOOLEAN DEFAULT 1 NOT NULL,
    user_id INTEGER, interval INTEGER DEFAULT 20 NOT NULL, url TEXT, type VARCHAR(20), hostname VARCHAR(255),
    port INTEGER, keyword VARCHAR(255), maxretries INTEGER NOT NULL DEFAULT 0, ignore_tls BOOLEAN DEFAULT 0 NOT NULL,
    upside_down BOOLEAN DEFAULT 0 NOT NULL, maxredirects INTEGER DEFAULT 10 NOT NULL,
    accepted_statuscodes_json TEXT DEFAULT '["200-299"]' NOT NULL, dns_resolve_type VARCHAR(5),
    dns_resolve_server VARCHAR(255), push_token VARCHAR(20), method TEXT DEFAULT 'GET' NOT NULL, body TEXT,
    headers TEXT,
    basic_auth_user TEXT, basic_auth_pass TEXT, proxy_id INTEGER, database_connection_string VARCHAR(2000),
    database_query TEXT, auth_method VARCHAR(250), http_body_encoding VARCHAR(25), description TEXT,
    parent INTEGER REFERENCES monitor (id), invert_keyword BOOLEAN DEFAULT 0 NOT NULL, json_path TEXT,
    expected_value VARCHAR(255), timeout DOUBLE DEFAULT 0 NOT NULL"""
_SHARED = """
    CREATE TABLE heartbeat (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, important BOOLEAN NOT NULL DEFAULT 0,
        monitor_id INTEGER NOT NULL, status SMALLINT NOT NULL, msg TEXT, time DATETIME NOT NULL, ping INTEGER,
        duration INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE tag (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL, color VARCHAR(255) NOT NULL);
    CREATE TABLE monitor_tag (id INTEGER NOT NULL PRIMARY KEY, monitor_id INTEGER NOT NULL, tag_id INTEGER NOT NULL,
        value TEXT);
    CREATE TABLE "group" (id INTEGER PRIMARY KEY, name VARCHAR(255) NOT NULL, public BOOLEAN DEFAULT 0 NOT NULL,
        active BOOLEAN DEFAULT 1 NOT NULL, weight BOOLEAN NOT NULL DEFAULT 1000, status_page_id INTEGER);
    CREATE TABLE monitor_group (id INTEGER PRIMARY KEY NOT NULL, monitor_id INTEGER NOT NULL, group_id INTEGER NOT NULL,
        weight BOOLEAN NOT NULL DEFAULT 1000);
    CREATE TABLE notification (id INTEGER PRIMARY KEY NOT NULL, name VARCHAR(255), active BOOLEAN NOT NULL DEFAULT 1,
        user_id INTEGER NOT NULL, is_default BOOLEAN DEFAULT 0 NOT NULL, config TEXT);
    CREATE TABLE maintenance (id INTEGER PRIMARY KEY NOT NULL, title VARCHAR(150) NOT NULL, description TEXT NOT NULL,
        active BOOLEAN NOT NULL DEFAULT 1, strategy VARCHAR(50) NOT NULL DEFAULT 'single', start_date DATETIME,
        end_date DATETIME, timezone VARCHAR(255));
    CREATE TABLE monitor_maintenance (id INTEGER PRIMARY KEY NOT NULL, monitor_id INTEGER NOT NULL,
        maintenance_id INTEGER NOT NULL);
    CREATE TABLE proxy (id INTEGER PRIMARY KEY NOT NULL, protocol VARCHAR(10) NOT NULL, host VARCHAR(255) NOT NULL);
"""
_VERSION_2 = """
    ALTER TABLE monitor ADD COLUMN json_path_operator VARCHAR(255);
    ALTER TABLE monitor ADD COLUMN smtp_security VARCHAR(255);
    ALTER TABLE monitor ADD COLUMN conditions TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE monitor ADD COLUMN bearer_token TEXT;
    CREATE TABLE stat_hourly (id INTEGER PRIMARY KEY, monitor_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,
        ping FLOAT NOT NULL, ping_min FLOAT, ping_max FLOAT, up SMALLINT NOT NULL, down SMALLINT NOT NULL, extras TEXT);
    CREATE TABLE stat_daily (id INTEGER PRIMARY KEY, monitor_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,
        ping FLOAT NOT NULL, ping_min FLOAT, ping_max FLOAT, up SMALLINT NOT NULL, down SMALLINT NOT NULL, extras TEXT);
"""


class KumaDatabase:
    def __init__(self, path: Path, version: int) -> None:
        self.path = path
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(f"CREATE TABLE monitor ({_MONITOR});{_SHARED}")
            if version == 2:
                connection.executescript(_VERSION_2)

    def add(self, table: str, **values: Any) -> int:
        columns, marks = ", ".join(values), ", ".join("?" * len(values))
        with closing(sqlite3.connect(self.path)) as connection, connection:
            statement = f'INSERT INTO "{table}" ({columns}) VALUES ({marks})'
            return connection.execute(statement, list(values.values())).lastrowid or 0

    def beat(self, monitor: int, at: datetime, status: int, ping: int | None = None) -> None:
        time = f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S.000}"
        self.add("heartbeat", monitor_id=monitor, time=time, status=status, ping=ping)
