"""Run a small HTTP server that replaces an external service, records requests, and answers from a script.

slack = FakeHTTP()
slack.answer(500, times=2)                # answer the next two requests with 500
slack.answer(200, json={"ok": True}, path="/api/x", delay=0.5)
slack.drop()                              # read the next request, then close the connection
...
assert slack.requests[0].json() == {...}
"""

import json as json_module
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Received:
    method: str
    path: str  # Without the query.
    query: str
    headers: Mapping[str, str]  # Names are in lower case.
    body: bytes
    at: float  # Arrival, in seconds from time.monotonic().

    def json(self) -> Any:
        return json_module.loads(self.body)

    def form(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(self.body.decode()).items()}


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0  # Seconds before the answer.
    # "before" or "after" closes the connection before or after the request is read. "" sends the answer.
    hang_up: str = ""
    path: str = ""  # Applies to paths with this prefix.
    method: str = ""
    times: int | None = 1  # None for any number of times.


Handler = Callable[[Received], Answer | None]


class FakeHTTP:
    """A thread-safe server that listens on loopback from its construction until `close()` is called."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._host = host
        self.requests: list[Received] = []
        self.default = Answer(times=None)
        # Called before the script, which answers only if the handler returns None.
        self.handler: Handler | None = None
        self._script: list[Answer] = []
        self._changed = threading.Condition()
        self._server: _Server | None = None
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self._port}"

    def answer(
        self,
        status: int = 200,
        *,
        json: object = None,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
        delay: float = 0.0,
        path: str = "",
        method: str = "",
        times: int | None = 1,
    ) -> None:
        """Add an answer to the script. A request gets the first matching answer, which is used up to `times` times."""
        all_headers = dict(headers or {})
        if json is not None:
            body = json_module.dumps(json)
            all_headers.setdefault("Content-Type", "application/json")
        payload = body.encode() if isinstance(body, str) else body
        with self._changed:
            self._script.append(
                Answer(
                    status, payload, all_headers, delay=delay, path=path, method=method, times=times
                )
            )

    def drop(self, *, times: int | None = 1, path: str = "", before_reading: bool = False) -> None:
        """Close the connections of up to `times` matching requests without an answer."""
        with self._changed:
            hang_up = "before" if before_reading else "after"
            self._script.append(Answer(hang_up=hang_up, path=path, times=times))

    def respond_with(self, handler: Handler | None) -> None:
        """Let `handler` answer requests. The script answers only those for which `handler` returns None."""
        self.handler = handler

    def reset(self) -> None:
        with self._changed:
            self.requests.clear()
            self._script.clear()
            self.handler = None
            self.default = Answer(times=None)

    def wait_for(self, count: int, seconds: float = 5.0) -> list[Received]:
        """Wait until at least `count` requests have arrived, and return all of them. Fail after `seconds`."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.requests) >= count, seconds)
            assert arrived, f"{len(self.requests)} requests arrived, {count} were expected"
            return list(self.requests)

    def start(self) -> None:
        """Start listening, on the same port as before if the server was stopped by `refuse()`."""
        self._server = _Server(self, self._host, self._port)
        self._port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.02},
            daemon=True,
            name=f"fake http {self._port}",
        ).start()

    def refuse(self) -> None:
        """Stop listening, so that connections are refused until `start()` is called."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    close = refuse

    def choose(self, received: Received) -> Answer:
        """Record a request, and return the answer of the handler, the script or the default."""
        with self._changed:
            self.requests.append(received)
            self._changed.notify_all()
        if self.handler:
            chosen = self.handler(received)
            if chosen is not None:
                return chosen
        return self._scripted(received.method, received.path) or self.default

    def hangs_up_before_reading(self, method: str, path: str) -> bool:
        with self._changed:
            return any(
                a.hang_up == "before" and _matches(a, method, path) for a in self._script[:1]
            )

    def _scripted(self, method: str, path: str) -> Answer | None:
        with self._changed:
            for answer in self._script:
                if _matches(answer, method, path):
                    if answer.times is not None:
                        answer.times -= 1
                        if answer.times <= 0:
                            self._script.remove(answer)
                    return answer
        return None


def _matches(answer: Answer, method: str, path: str) -> bool:
    return path.startswith(answer.path) and answer.method in ("", method)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, fake: FakeHTTP, host: str, port: int) -> None:
        self.fake = fake
        super().__init__((host, port), _RequestHandler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # Tests often disconnect clients on purpose.


class _RequestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_any(self) -> None:
        fake = self.server.fake
        parts = urlsplit(self.path)
        early = fake.hangs_up_before_reading(self.command, parts.path)
        received = Received(
            method=self.command,
            path=parts.path,
            query=parts.query,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=b"" if early else self._read_body(),
            at=time.monotonic(),
        )
        answer = fake.choose(received)
        if answer.delay:
            time.sleep(answer.delay)
        if answer.hang_up:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD" and answer.status not in (204, 304):
            self.wfile.write(answer.body)

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = handle_any

    def log_message(self, format: str, *args: object) -> None:
        pass
