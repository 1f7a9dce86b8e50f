"""Convert Uptime Kuma's monitor types to the portal's."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from health.imports.imported import Values

Row = Mapping[str, Any]
Note = Callable[[str], None]
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_CONTENT_TYPES = {"xml": "text/xml; charset=utf-8", "form": "application/x-www-form-urlencoded"}


def parse_json(text: Any) -> Any:
    """Return the value of a column with JSON, or an empty object if the column is empty or invalid."""
    if isinstance(text, dict | list):
        return text
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return {}


def read_http(row: Row, note: Note) -> Values:
    method = str(row.get("method") or "GET").upper()
    if method not in METHODS:
        raise ValueError(f"the method {method} is not supported")
    headers = parse_json(row.get("headers"))
    headers = headers if isinstance(headers, dict) else {}
    headers = {str(name): str(value) for name, value in headers.items()} | _credentials(row, note)
    if row.get("body"):
        content_type = _CONTENT_TYPES.get(str(row.get("http_body_encoding")), "application/json")
        headers.setdefault("Content-Type", content_type)
    if row.get("ignore_tls"):
        note("certificates are always verified; it is down if its certificate is invalid")
    codes = parse_json(row.get("accepted_statuscodes_json")) or ["200-299"]
    return {
        "url": str(row.get("url") or ""),
        "method": method,
        "headers": headers,
        "body": str(row.get("body") or ""),
        "expected_status": ",".join(str(code) for code in codes),
        "follow_redirects": int(row.get("maxredirects") or 0) > 0,
    }


def _credentials(row: Row, note: Note) -> dict[str, str]:
    method = row.get("auth_method") or ("basic" if row.get("basic_auth_user") else "")
    if method == "basic" and row.get("basic_auth_user"):
        pair = f"{row['basic_auth_user']}:{row.get('basic_auth_pass') or ''}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    if row.get("bearer_token"):
        return {"Authorization": f"Bearer {row['bearer_token']}"}
    if method and method != "basic":
        note(f"its sign-in ({method}) is not imported")
    return {}


def read_keyword(row: Row, note: Note) -> Values:
    keyword = str(row.get("keyword") or "")
    if row.get("invert_keyword"):
        note(f"the check that the body does not contain “{keyword}” is not imported")
        return read_http(row, note)
    return {**read_http(row, note), "contains": keyword}


def read_json_query(row: Row, note: Note) -> Values:
    values = read_http(row, note)
    path = str(row.get("json_path") or "").removeprefix("$").removeprefix(".")
    operator = row.get("json_path_operator") or "=="
    if operator == "==" and path and not set(path) & set("()&|<>='\"*?{} "):
        return {**values, "json_path": path, "json_value": str(row.get("expected_value") or "")}
    note(f"its JSON query ({path or '$'} {operator} {row.get('expected_value')}) is not imported")
    return values


def _host(row: Row) -> str:
    host = str(row.get("hostname") or "").strip()
    if not host:
        raise ValueError("it has no host")
    return f"[{host}]" if ":" in host else host


def read_port(row: Row, note: Note) -> Values:
    return {"url": f"tcp://{_host(row)}:{int(row.get('port') or 0)}"}


def read_ping(row: Row, note: Note) -> Values:
    return {"url": f"ping://{_host(row)}"}


def read_dns(row: Row, note: Note) -> Values:
    resolver = str(row.get("dns_resolve_server") or "").split(",")[0].strip()
    port = int(row.get("port") or 53)
    if parse_json(row.get("conditions")):
        note("its conditions are not imported")
    return {
        "url": f"dns://{_host(row)}",
        "record_type": str(row.get("dns_resolve_type") or "A"),
        "resolver": f"{resolver}:{port}" if resolver and port != 53 else resolver,
    }


def read_database(row: Row, note: Note) -> Values:
    parts = urlsplit(str(row.get("database_connection_string") or ""))
    if not parts.hostname:
        raise ValueError("its connection string has no host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    scheme = "postgresql" if parts.scheme == "postgres" else parts.scheme
    values: Values = {
        "url": f"{scheme}://{host}{port}{parts.path.rstrip('/')}",
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "requires_tls": any(word in parts.query for word in ("sslmode=require", "sslmode=verify")),
    }
    if row.get("type") == "postgres":
        values["query"] = str(row.get("database_query") or "")
    return values


def read_smtp(row: Row, note: Note) -> Values:
    security, port = row.get("smtp_security") or "", int(row.get("port") or 0)
    scheme = "smtps" if security == "secure" else "smtp"
    return {
        "url": f"{scheme}://{_host(row)}{f':{port}' if port else ''}",
        "requires_tls": security == "starttls",
    }


READERS: Mapping[str, Callable[[Row, Note], Values]] = {
    "http": read_http,
    "keyword": read_keyword,
    "json-query": read_json_query,
    "port": read_port,
    "ping": read_ping,
    "dns": read_dns,
    "postgres": read_database,
    "redis": read_database,
    "smtp": read_smtp,
}
