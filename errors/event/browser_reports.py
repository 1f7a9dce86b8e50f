"""Convert reports that browsers send automatically into events: CSP violations, network errors and others."""

from typing import Any
from urllib.parse import urlsplit

_OLD_NAMES = {
    "blocked-uri": "blocked_uri",
    "document-uri": "document_uri",
    "effective-directive": "effective_directive",
    "violated-directive": "violated_directive",
    "original-policy": "original_policy",
    "source-file": "source_file",
    "status-code": "status_code",
    "line-number": "line_number",
    "column-number": "column_number",
    "script-sample": "script_sample",
}
_NEW_NAMES = {
    "blockedURL": "blocked_uri",
    "documentURL": "document_uri",
    "effectiveDirective": "effective_directive",
    "originalPolicy": "original_policy",
    "sourceFile": "source_file",
    "statusCode": "status_code",
    "lineNumber": "line_number",
    "columnNumber": "column_number",
    "sample": "script_sample",
    "disposition": "disposition",
    "referrer": "referrer",
}
_MAX_REPORTS = 50


def _origin(uri: str) -> str:
    """Return the origin of a blocked URL, its scheme if it has no host, or the keyword that replaces it (`inline`)."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri[:100]
    if parts.scheme and parts.netloc:
        return f"{parts.scheme}://{parts.netloc}"
    return uri.partition(":")[0][:100]


def _renamed(given: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name.replace("-", "_")): value for name, value in given.items()}


def _csp(report: dict[str, Any]) -> dict[str, Any]:
    directive = str(report.get("effective_directive") or report.get("violated_directive") or "")
    directive = directive.split(" ", 1)[0]
    blocked = _origin(str(report.get("blocked_uri") or ""))
    report = {**report, "effective_directive": directive, "blocked_origin": blocked}
    return {
        "type": "csp",
        "logger": "csp",
        "level": "warning",
        "platform": "javascript",
        "culprit": directive,
        "logentry": {"formatted": f"Blocked '{directive}' from '{blocked}'"},
        "request": {"url": str(report.get("document_uri") or "")},
        "csp": report,
    }


def _other(kind: str, body: dict[str, Any], url: str) -> dict[str, Any]:
    detail = body.get("message") or body.get("type") or body.get("id") or body.get("reason") or ""
    return {
        "type": kind,
        "logger": kind,
        "level": "warning",
        "platform": "javascript",
        "logentry": {"formatted": f"{kind}: {detail}".rstrip(": ")},
        "request": {"url": url},
        "extra": {"report": body},
    }


def events_of(body: Any) -> list[dict[str, Any]]:
    """Return one event for each of the first _MAX_REPORTS reports, or [] if the body contains no report."""
    if isinstance(body, list):  # The Reporting API sends lists (application/reports+json).
        found = []
        for report in body[:_MAX_REPORTS]:
            inner = report.get("body") if isinstance(report, dict) else None
            if not isinstance(inner, dict):
                continue
            kind = str(report.get("type") or "report")[:64]
            if kind == "csp-violation":
                found.append(_csp(_renamed(inner, _NEW_NAMES)))
            else:
                found.append(_other(kind, inner, str(report.get("url") or "")))
        return found
    if not isinstance(body, dict):
        return []
    if isinstance(body.get("csp-report"), dict):
        return [_csp(_renamed(body["csp-report"], _OLD_NAMES))]
    for name in ("expect-ct-report", "expect-staple-report", "known-pins"):
        if name in body:
            inner = body[name] if isinstance(body[name], dict) else body
            host = str(inner.get("hostname") or "")
            return [_other(name, {"message": host, **inner}, host)]
    return []
