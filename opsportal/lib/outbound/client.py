"""`Client`: one named dependency, how long a call to it may take, and when it is tried again."""

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

from opsportal.lib import request_id
from opsportal.lib.outbound import transport
from opsportal.lib.outbound.breaker import Breaker, breaker_for
from opsportal.lib.outbound.exceptions import ForbiddenAddress, TooLarge, Unavailable

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_WORTH_A_RETRY = frozenset({408, 429, 500, 502, 503, 504})
_FIRST_WAIT = 0.2
_LONGEST_WAIT = 2.0

_http_clients: dict[tuple[int, bool], httpx.Client] = {}
_http_clients_lock = threading.Lock()


class Client:
    """Calls to one dependency. Make one per dependency, at module level; threads share it and its connections.

    `timeout` is what a whole call may take in seconds, with all its attempts and waits; `connect` and `read` bound
    one attempt's connection and each wait for its next bytes.
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
    ) -> None:
        self.name = name
        self.timeout = timeout
        self.attempts = attempts
        self.max_bytes = max_bytes
        self._timeouts = httpx.Timeout(read, connect=connect, pool=connect)
        self._with_breaker = breaker
        if breaker:
            breaker_for(name)  # so that it is shown before its first call

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
        """The answer, whatever its status, read whole. Redirects are answers; none is followed.

        Tried again only when that is safe: `idempotent`, which by default is true for GET, HEAD, PUT and DELETE, and
        for any call with an Idempotency-Key header. `guard=True` for URLs that people entered: public addresses only,
        and a breaker per host.
        Raises Unavailable (no answer, or the breaker is open), TooLarge, ForbiddenAddress.
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
            raise ForbiddenAddress("only http:// and https:// addresses can be called")
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
            wait = random.uniform(0, min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (attempt - 1)))  # noqa: S311
            try:
                response = self._attempt(http, request, breaker, ends_at)
            except Unavailable as unavailable:
                is_last = attempt == attempts or unavailable.retry_after is not None
                if is_last or time.monotonic() + wait >= ends_at:
                    raise
            else:
                asked = retry_after(response)
                wait = max(wait, asked or 0)
                is_last = attempt == attempts or response.status_code not in _WORTH_A_RETRY
                if is_last or time.monotonic() + wait >= ends_at:
                    return response
            time.sleep(wait)
        raise AssertionError("a call has at least one attempt")

    def _attempt(
        self, http: httpx.Client, request: httpx.Request, breaker: Breaker | None, ends_at: float
    ) -> httpx.Response:
        probe = breaker.enter() if breaker else False
        answered: bool | None = None
        try:
            response = self._exchange(http, request, ends_at)
            answered = response.status_code < 500
        except Unavailable:
            answered = False
            raise
        finally:
            if breaker and answered is not None:
                (breaker.succeeded if answered else breaker.failed)(probe=probe)
            elif breaker and probe:
                breaker.gave_up_probe()
        return response

    def _exchange(
        self, http: httpx.Client, request: httpx.Request, ends_at: float
    ) -> httpx.Response:
        with transport.deadline(ends_at):
            try:
                streamed = http.send(request, stream=True)
                try:
                    body = _read(streamed, self.max_bytes, self.name)
                finally:
                    streamed.close()
            except httpx.TimeoutException as error:
                reason = f"no answer in time ({type(error).__name__})"
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
    """The seconds a Retry-After header asks for (a number or a date), or None."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _read(response: httpx.Response, most: int, name: str) -> bytes:
    """The body, unpacked, at most so many bytes; a body that unpacks to more costs no more memory than that."""
    encoding = response.headers.get("Content-Encoding", "").lower()
    unpack = None
    if encoding in ("gzip", "x-gzip", "deflate"):
        unpack = zlib.decompressobj(wbits=47)  # gzip or zlib, told by the first bytes
    elif encoding not in ("", "identity"):
        raise Unavailable(name, f"answered in the encoding {encoding!r}, which was not asked for")
    body = bytearray()
    try:
        for chunk in response.iter_raw():
            body += unpack.decompress(chunk, most + 1 - len(body)) if unpack else chunk
            if len(body) > most:
                raise TooLarge(f"{name}: answered with more than {most} bytes")
    except zlib.error as error:
        raise Unavailable(name, f"answered unreadable {encoding}: {error}") from error
    return bytes(body)


def _http_client(*, guarded: bool) -> httpx.Client:
    """This process's own: a forked child must not use its parent's connections."""
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
