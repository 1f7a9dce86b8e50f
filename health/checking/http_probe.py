"""Probe a web address: send the steps and the monitor's own request, and check the responses."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import httpx
from django.conf import settings

from core.lib import outbound
from health.checking.charsets import decode_body
from health.checking.values import (
    MAX_VALUE_CHARACTERS,
    ProbeFailed,
    UnknownVariable,
    fill_in,
    parse_extractions,
    value_at_path,
)
from health.models import Monitor, MonitorStep
from health.models.monitors import HTTPRequest

MAX_BODY_BYTES = 4 << 20  # A longer body is read only up to this limit.
MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
# A request keeps only these headers when it is redirected to another server. Others may contain credentials.
_HARMLESS_HEADERS = ("accept", "accept-language", "user-agent")


@dataclass
class _Request:
    method: str
    url: str
    headers: dict[str, str]
    body: str


def probe_http(monitor: Monitor, steps: Sequence[MonitorStep] = ()) -> str:
    """Send the steps and then the monitor's own request, and return a message such as "HTTP 200".

    All requests share cookies and the time limit of the monitor.
    """
    ends_at = time.monotonic() + float(monitor.timeout_seconds)
    cookies = httpx.Cookies()
    variables: dict[str, str] = {}
    for number, step in enumerate(steps, 1):
        try:
            variables |= _run_step(step, variables, monitor, cookies, ends_at)
        except ProbeFailed as error:
            raise ProbeFailed(f"step {number} ({step.name}): {error}") from None
        except outbound.Unavailable as error:
            raise outbound.Unavailable(
                "monitor", f"step {number} ({step.name}): {error.reason}"
            ) from error
    response = _send(monitor, monitor.url, variables, monitor.follow_redirects, cookies, ends_at)
    _judge(response, monitor, variables)
    count = len(steps) + 1
    return f"HTTP {response.status_code}" + (f" after {count} requests" if steps else "")


def _run_step(
    step: MonitorStep,
    variables: Mapping[str, str],
    monitor: Monitor,
    cookies: httpx.Cookies,
    ends_at: float,
) -> dict[str, str]:
    """Send one step and return the variables that it sets."""
    response = _send(step, step.url, variables, monitor.follow_redirects, cookies, ends_at)
    if not step.accepts(response.status_code):
        raise ProbeFailed(f"HTTP {response.status_code}, expected {step.expected_status}")
    paths = parse_extractions(step.extract)
    content: dict[str, object] = {}
    if any(path.startswith("json") for path in paths.values()):
        content["json"] = _read_json(response.content)
    return {name: _extract(path, content, response.headers) for name, path in paths.items()}


def _extract(path: str, content: Mapping[str, object], headers: httpx.Headers) -> str:
    if path.startswith("header."):
        value: object = headers.get(path.removeprefix("header."))
    else:
        try:
            value = value_at_path(content, path)
        except LookupError:
            value = None
    if value is None:
        raise ProbeFailed(f"the response has no {path}")
    return (value if isinstance(value, str) else json.dumps(value))[:MAX_VALUE_CHARACTERS]


def _send(
    request: HTTPRequest,
    url: str,
    variables: Mapping[str, str],
    follow_redirects: bool,
    cookies: httpx.Cookies,
    ends_at: float,
) -> httpx.Response:
    """Send a request, and follow up to MAX_REDIRECTS redirects if `follow_redirects` is set.

    A redirect whose status is expected is not followed. Raises ProbeFailed after more redirects, for an unknown
    variable, or if a redirect would send the body to another server.
    """
    try:
        sent = _Request(
            request.method,
            fill_in(url, variables),
            {
                "User-Agent": f"opsportal/{settings.VERSION}",
                **{name: fill_in(value, variables) for name, value in request.headers.items()},
            },
            fill_in(request.body, variables),
        )
    except UnknownVariable as error:
        raise ProbeFailed(str(error)) from None
    for _ in range(MAX_REDIRECTS + 1):
        response = _exchange(sent, cookies, ends_at)
        location = response.headers.get("Location", "")
        if (
            not follow_redirects
            or response.status_code not in _REDIRECTS
            or not location
            or request.accepts(response.status_code)
        ):
            return response
        sent = _redirected(sent, response.status_code, location)
    raise ProbeFailed(f"more than {MAX_REDIRECTS} redirects, the last one to {sent.url[:200]}")


def _exchange(sent: _Request, cookies: httpx.Cookies, ends_at: float) -> httpx.Response:
    seconds = max(0.001, ends_at - time.monotonic())
    client = outbound.Client(
        "monitor",
        timeout=seconds,
        connect=seconds,
        read=seconds,
        attempts=1,
        max_bytes=MAX_BODY_BYTES,
        truncate=True,
        breaker=False,  # A circuit breaker would hide both failures and recoveries from the probe.
    )
    headers = dict(sent.headers)
    if cookies and not any(name.lower() == "cookie" for name in headers):
        carrier = httpx.Request(sent.method, sent.url)
        cookies.set_cookie_header(carrier)
        if "Cookie" in carrier.headers:
            headers["Cookie"] = carrier.headers["Cookie"]
    response = client.request(
        sent.method, sent.url, headers=headers, content=sent.body or None, guard=True
    )
    cookies.extract_cookies(response)
    return response


def _redirected(sent: _Request, status: int, location: str) -> _Request:
    """Return the request that a browser would send to the target of a redirect.

    Raises ProbeFailed if the body would be sent to another server. See
    https://fetch.spec.whatwg.org/#http-redirect-fetch.
    """
    target = urljoin(sent.url, location)
    method, body, headers = sent.method, sent.body, sent.headers
    if status == 303 or (status in (301, 302) and method == "POST"):
        method, body = ("HEAD" if method == "HEAD" else "GET"), ""
    if _origin(target) != _origin(sent.url):
        if body:
            raise ProbeFailed(
                f"HTTP {status} redirects the request's body to another server: {target[:200]}"
            )
        headers = _without_credentials(headers)
    return _Request(method, target, headers, body)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _without_credentials(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() in _HARMLESS_HEADERS}


def _judge(response: httpx.Response, monitor: Monitor, variables: Mapping[str, str]) -> None:
    """Raise ProbeFailed unless the response meets the monitor's expectations."""
    is_cut_off = len(response.content) == MAX_BODY_BYTES
    if not monitor.accepts(response.status_code):
        raise ProbeFailed(_describe_status(response, monitor))
    try:
        contains = fill_in(monitor.contains, variables)
        json_value = fill_in(monitor.json_value, variables)
    except UnknownVariable as error:
        raise ProbeFailed(str(error)) from None
    if contains and contains not in decode_body(
        response.content, response.headers.get("Content-Type", "")
    ):
        what = (
            f"the first {MAX_BODY_BYTES >> 20} MB of the response do"
            if is_cut_off
            else "the response does"
        )
        raise ProbeFailed(f"{what} not contain “{contains}”")
    if monitor.json_path:
        if is_cut_off:
            raise ProbeFailed(
                f"the response is larger than {MAX_BODY_BYTES >> 20} MB, so it was not read as JSON"
            )
        _check_json(_read_json(response.content), monitor.json_path, json_value)


def _describe_status(response: httpx.Response, monitor: Monitor) -> str:
    text = f"HTTP {response.status_code}, expected {monitor.expected_status}"
    if response.status_code not in _REDIRECTS or monitor.follow_redirects:
        return text
    target = response.headers.get("Location", "")[:200]
    return f"{text}; it redirects to {target}, and this monitor does not follow redirects"


def _read_json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ProbeFailed("the response is not JSON") from None


def _check_json(content: object, path: str, expected: str) -> None:
    try:
        value = value_at_path(content, path)
    except LookupError:
        raise ProbeFailed(f"the response has no {path}") from None
    text = value if isinstance(value, str) else json.dumps(value)
    if expected and text != expected:
        raise ProbeFailed(f"{path} is “{text[:80]}”, expected “{expected}”")
