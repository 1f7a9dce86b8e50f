"""Call one named dependency, with timeouts, retries and a circuit breaker."""

import atexit
import base64
import email.utils
import os
import random
import threading
import time
import zlib
from collections.abc import Mapping
from typing import Any

import httpx

from core.lib import request_id
from core.lib.outbound import transport
from core.lib.outbound.breaker import Breaker, breaker_for
from core.lib.outbound.exceptions import ForbiddenAddress, TooLarge, Unavailable

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_RETRIABLE_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
_MIN_BACKOFF_SECONDS = 0.2
_MAX_BACKOFF_SECONDS = 2.0

_http_clients: dict[tuple[int, bool], httpx.Client] = {}
_http_clients_lock = threading.Lock()


class Client:
    """A client for one dependency. Modules create it once, and all threads share it and its connections.

    `timeout` limits a whole call, in seconds, with all attempts and waits. `connect` limits connecting in one attempt,
    and `read` each wait for more bytes.
    """

    def __init__(
        self,
        name: str,
        *,
        timeout: float = 10.0,
        connect: float = 1.0,
        read: float = 3.0,
        attempts: int = 3,
        max_bytes: int = 1 << 20,
        breaker: bool = True,
        truncate: bool = False,
    ) -> None:
        """Create the client. With `truncate`, a body larger than `max_bytes` is cut off instead of refused."""
        self.name = name
        self.timeout = timeout
        self.attempts = attempts
        self.max_bytes = max_bytes
        self.truncate = truncate
        self._timeouts = httpx.Timeout(read, connect=connect, pool=connect)
        self._with_breaker = breaker
        if breaker:
            # Create the breaker now, so that pages list it before the first call.
            breaker_for(name)

    def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        content: bytes | str | None = None,
        data: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        idempotent: bool | None = None,
        guard: bool = False,
    ) -> httpx.Response:
        """Return the complete response, whatever its status. Redirects are not followed.

        A call is retried only if it is `idempotent`, which is the default for GET, HEAD, OPTIONS, PUT and DELETE, and
        for any call with an Idempotency-Key header. Use `guard=True` for URLs that users enter: it allows public
        addresses only and uses one breaker per host.

        Raises Unavailable (no readable response, or the breaker is open), TooLarge or ForbiddenAddress.
        """
        http = _http_client(guarded=guard)
        try:
            request = http.build_request(
                method,
                url,
                json=json,
                content=content,
                data=data,
                params=params,
                headers=dict(headers or {}),
                timeout=self._timeouts,
            )
        except httpx.InvalidURL as error:
            raise ForbiddenAddress(f"not a URL: {error}") from error
        if request.url.scheme not in ("http", "https") or not request.url.host:
            raise ForbiddenAddress("only http:// and https:// URLs are supported")
        if auth:
            credentials = base64.b64encode(":".join(auth).encode()).decode()
            request.headers["Authorization"] = f"Basic {credentials}"
        if request_id.current():
            request.headers.setdefault("X-Request-ID", request_id.current())
        if idempotent is None:
            idempotent = method.upper() in _SAFE_METHODS or "Idempotency-Key" in request.headers
        breaker = self._breaker(request.url.host if guard else "")
        return self._call(http, request, breaker, self.attempts if idempotent else 1)

    def _call(
        self, http: httpx.Client, request: httpx.Request, breaker: Breaker | None, attempts: int
    ) -> httpx.Response:
        ends_at = time.monotonic() + self.timeout
        for attempt in range(1, attempts + 1):
            backoff = min(_MAX_BACKOFF_SECONDS, _MIN_BACKOFF_SECONDS * 2 ** (attempt - 1))
            wait = random.uniform(0, backoff)  # noqa: S311
            try:
                response = self._attempt(http, request, breaker, ends_at)
            except Unavailable as unavailable:
                is_last = attempt == attempts or unavailable.retry_after is not None
                if is_last or time.monotonic() + wait >= ends_at:
                    raise
            else:
                wait = max(wait, retry_after(response) or 0)
                is_last = attempt == attempts or response.status_code not in _RETRIABLE_STATUSES
                if is_last or time.monotonic() + wait >= ends_at:
                    return response
            time.sleep(wait)
        raise AssertionError("a call has at least one attempt")

    def _attempt(
        self, http: httpx.Client, request: httpx.Request, breaker: Breaker | None, ends_at: float
    ) -> httpx.Response:
        probe = breaker.enter() if breaker else False
        is_success: bool | None = None
        try:
            response = self._exchange(http, request, ends_at)
            is_success = response.status_code < 500
        except Unavailable:
            is_success = False
            raise
        finally:
            if breaker and is_success is not None:
                record = breaker.record_success if is_success else breaker.record_failure
                record(probe=probe)
            elif breaker and probe:
                breaker.abandon_probe()
        return response

    def _exchange(
        self, http: httpx.Client, request: httpx.Request, ends_at: float
    ) -> httpx.Response:
        with transport.deadline(ends_at):
            try:
                streamed = http.send(request, stream=True)
                try:
                    body = _read(streamed, self.max_bytes, self.name, truncate=self.truncate)
                finally:
                    streamed.close()
            except httpx.TimeoutException as error:
                reason = f"timed out ({type(error).__name__})"
                raise Unavailable(self.name, reason) from error
            except httpx.TransportError as error:
                reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
                raise Unavailable(self.name, reason) from error
        headers = [
            (key, value)
            for key, value in streamed.headers.multi_items()
            if key not in ("content-encoding", "content-length", "transfer-encoding")
        ]
        return httpx.Response(streamed.status_code, headers=headers, content=body, request=request)

    def _breaker(self, host: str) -> Breaker | None:
        if not self._with_breaker:
            return None
        return breaker_for(f"{self.name}:{host}" if host else self.name)


def retry_after(response: httpx.Response) -> float | None:
    """Return the wait in seconds from the Retry-After header (a number or date), or None without a valid one."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        # OverflowError is raised for a time zone or year that a datetime cannot represent.
        return None


def _read(response: httpx.Response, max_bytes: int, name: str, *, truncate: bool) -> bytes:
    """Return the decompressed body. To limit the memory used, cut off a body over `max_bytes` or raise TooLarge.

    Raises Unavailable if the body cannot be decompressed.
    """
    encoding = response.headers.get("Content-Encoding", "").lower()
    unpack = None
    if encoding in ("gzip", "x-gzip", "deflate"):
        # These window bits make zlib detect gzip and zlib by their headers.
        unpack = zlib.decompressobj(wbits=47)
    elif encoding not in ("", "identity"):
        raise Unavailable(name, f"responded in the unsupported encoding {encoding!r}")
    body = bytearray()
    try:
        for chunk in response.iter_raw():
            body += unpack.decompress(chunk, max_bytes + 1 - len(body)) if unpack else chunk
            if len(body) > max_bytes:
                if truncate:
                    return bytes(body[:max_bytes])
                raise TooLarge(f"{name}: response is larger than {max_bytes} bytes")
    except zlib.error as error:
        raise Unavailable(name, f"responded with invalid {encoding} data: {error}") from error
    return bytes(body)


def _http_client(*, guarded: bool) -> httpx.Client:
    """Return this process's HTTP client. A forked child must not use its parent's connections, so it gets its own."""
    key = (os.getpid(), guarded)
    with _http_clients_lock:
        if key not in _http_clients:
            _http_clients[key] = transport.new_client(guarded=guarded)
        return _http_clients[key]


@atexit.register
def _close_connections() -> None:
    for (pid, _), http in _http_clients.items():
        if pid == os.getpid():
            http.close()
