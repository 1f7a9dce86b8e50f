"""Simulate Stripe with a proxy in front of localstripe, which runs in its own process, or of a StripeAccount.

localstripe keeps the state (intents, charges, refunds, events). Tests of refunds, disputes and long periods pass a
StripeAccount instead. The proxy adds idempotency (stored responses, `Idempotent-Replayed`, conflicts, 409 while a key
is in use), injected faults, and lists with the newest object first that can be filtered by `created`.

`python -m tests.payments.stripe_double PORT [--in-memory]` starts the double. A portal uses it with the settings
`STRIPE_API_BASE=http://127.0.0.1:PORT STRIPE_SECRET_KEY=sk_test_double`.
"""

import http.client
import json
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.payments.stripe_account import StripeAccount
from tests.servers import process

# Unlike the localstripe command, this program listens only on loopback and writes no state to disk, where localstripe
# would use the same file for all processes and users of the machine.
_BACKEND = """
import sys
from aiohttp import web
from localstripe import resources, server
resources.Store.dump_to_disk = lambda self: None
web.run_app(server.app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
"""
LISTED = ("/v1/payment_intents", "/v1/events", "/v1/refunds")


@dataclass
class Fault:
    """A fault of the next `times` calls whose path begins with `path`. If `writes` is set, only writes fail."""

    kind: str  # "drop_before", "drop_after", "delay", "status" or "status_after".
    # Seconds of a delay, or the HTTP status of any other fault.
    value: float = 0
    path: str = "/v1/payment_intents"
    writes: bool = True
    times: int = 1
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Stored:
    """The request and the response that are stored for an idempotency key."""

    asked: str
    status: int = 0  # 0 while the request is being processed.
    body: bytes = b""


Reply = tuple[int, dict[str, str], bytes]


class StripeDouble:
    secret = "whsec_double"

    def __init__(
        self, port: int = 0, account: StripeAccount | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.account = account
        self.folder = Path(tempfile.mkdtemp(prefix="stripe-double-"))
        self.backend_port = process.free_port()
        self.process = None if account else self._start_localstripe()
        # Maps method and path, such as "POST /v1/payment_intents", to the number of calls.
        self.calls: Counter[str] = Counter()
        self.faults: list[Fault] = []
        self.keys: dict[str, Stored] = {}
        self.before_answer: Callable[[str], None] | None = None
        self._lock = threading.Lock()
        self._connections = threading.local()
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                key = self.headers.get("Idempotency-Key", "")
                reply = double.serve(self.command, self.path, body, key)
                if reply is None:  # A fault drops this response.
                    self.close_connection = True
                    return
                status, headers, answer = reply
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                with suppress(ConnectionError):  # The client may have timed out.
                    self.end_headers()
                    self.wfile.write(answer)

            do_GET = do_POST = do_DELETE = handle_one

            def finish(self) -> None:
                double.hang_up()
                super().finish()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self.server = Server((host, port), Handler)
        self.base = f"http://{host}:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def _start_localstripe(self) -> "subprocess.Popen[bytes]":
        log = self.folder / "log"
        started = process.spawn(
            [sys.executable, "-c", _BACKEND, str(self.backend_port)],
            log=log,
            cwd=self.folder,
        )
        process.wait_until(
            lambda: process.answers(self.backend_port),
            process=started,
            log=log,
            what="localstripe",
        )
        return started

    def close(self) -> None:
        self.hang_up()
        self.server.shutdown()
        self.server.server_close()
        if self.process is not None:
            process.stop(self.process, grace_seconds=2)
        process.remove(self.folder)

    def reset(self) -> None:
        """Remove all objects, idempotency keys and faults, and set the counts of calls to zero."""
        self.faults.clear()
        self.calls.clear()
        self.keys.clear()
        self.before_answer = None
        if self.account is not None:
            self.account.clear()
        else:
            self._ask("DELETE", "/_config/data", b"")

    # --- the proxy ------------------------------------------------------------------------------------

    def serve(self, method: str, target: str, body: bytes, key: str) -> Reply | None:
        path = urlsplit(target).path
        with self._lock:
            self.calls[f"{method} {path}"] += 1
        if path == "/healthcheck":
            return 200, {}, b"ok"
        fault = self._next_fault(path, method == "POST")
        if fault and fault.kind == "drop_before":
            return None
        if method == "POST" and key:
            reply = self._once(path, target, body, key, fault)
        elif fault and fault.kind == "status":
            reply = _error(int(fault.value), "api_error", headers=dict(fault.headers))
        else:
            reply = self._answer(method, target, body)
        if self.before_answer:
            self.before_answer(path)
        if fault and fault.kind == "drop_after":
            return None
        return reply

    def _once(self, path: str, target: str, body: bytes, key: str, fault: Fault | None) -> Reply:
        asked = f"{path} {sorted(parse_qsl(body.decode()))}"
        with self._lock:
            known = self.keys.get(key)
            if known is None:
                self.keys[key] = mine = Stored(asked)
        if known is not None:
            if known.asked != asked:
                return _error(400, "idempotency_error", "Keys for idempotent requests differ")
            if not known.status:
                return _error(409, "idempotency_error", code="idempotency_key_in_use")
            return known.status, _json(**{"Idempotent-Replayed": "true"}), known.body
        if fault and fault.kind == "status" and fault.value in (401, 403, 409, 429):
            # Stripe rejects such a request before it is processed, and stores nothing for the key.
            del self.keys[key]
            kind = "rate_limit_error" if fault.value == 429 else "invalid_request_error"
            return _error(int(fault.value), kind, headers=dict(fault.headers))
        if fault and fault.kind == "delay":
            time.sleep(fault.value)
        status, headers, answer = 0, _json(), b""
        if not (fault and fault.kind == "status"):
            status, headers, answer = self._answer("POST", target, body)
        if fault and fault.kind in ("status", "status_after"):
            status, headers, answer = _error(int(fault.value), "api_error")
        mine.body, mine.status = answer, status
        return status, headers, answer

    def _next_fault(self, path: str, is_write: bool) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if path.startswith(fault.path) and (is_write or not fault.writes):
                    fault.times -= 1
                    if not fault.times:
                        self.faults.remove(fault)
                    return fault
        return None

    def _answer(self, method: str, target: str, body: bytes) -> Reply:
        parts = urlsplit(target)
        if self.account is None and method == "GET" and parts.path == "/v1/disputes":
            none = {"object": "list", "data": [], "has_more": False, "url": parts.path}
            return 200, _json(), json.dumps(none).encode()  # localstripe has no disputes.
        if self.account is None and method == "GET" and parts.path in LISTED:
            return 200, _json(), json.dumps(self._list(parts.path, parts.query)).encode()
        return self._ask(method, target, body)

    def _list(self, path: str, query: str) -> dict[str, Any]:
        asked = dict(parse_qsl(query))
        items = self._everything(path)
        items = [
            item
            for item in items
            if int(asked.get("created[gte]", 0)) <= item["created"]
            and item["created"] <= int(asked.get("created[lte]", 2**40))
            and asked.get("payment_intent") in (None, item.get("payment_intent"))
            and asked.get("charge") in (None, item.get("charge"))
        ]
        items.sort(key=lambda item: item["created"], reverse=True)
        after = (
            [item["id"] for item in items].index(asked["starting_after"]) + 1
            if "starting_after" in asked
            else 0
        )
        limit = int(asked.get("limit", 10))
        page = items[after : after + limit]
        return {"object": "list", "data": page, "has_more": len(items) > after + limit, "url": path}

    def _everything(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        while True:
            after = {"starting_after": items[-1]["id"]} if items else {}
            page = self.get(f"{path}?{urlencode({'limit': 100, **after})}")
            items += page["data"]
            if not page["has_more"]:
                return items

    def _ask(self, method: str, target: str, body: bytes) -> Reply:
        """Send a request to the account, or to localstripe on the current thread's connection, and return the reply."""
        if self.account is not None:
            parts = urlsplit(target)
            with self._lock:
                status, answer = self.account.serve(
                    method, parts.path, parts.query or body.decode()
                )
            return status, _json(), json.dumps(answer).encode()
        connection = getattr(self._connections, "value", None)
        headers = {
            "Authorization": "Bearer sk_test_double",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        for fresh in (False, True):
            if connection is None or fresh:
                connection = http.client.HTTPConnection("127.0.0.1", self.backend_port, timeout=20)
                self._connections.value = connection
            try:
                connection.request(method, target, body, headers)
                response = connection.getresponse()
                return response.status, _json(), response.read()
            except (http.client.HTTPException, ConnectionError):
                connection.close()
                if fresh:
                    raise
        raise AssertionError

    def hang_up(self) -> None:
        """Close the connection of the current thread to localstripe."""
        connection = getattr(self._connections, "value", None)
        if connection is not None:
            connection.close()
            self._connections.value = None

    # --- for tests --------------------------------------------------------------------------------------

    def get(self, target: str) -> Any:
        return json.loads(self._ask("GET", target, b"")[2])

    def post(self, target: str, **form: Any) -> Any:
        return json.loads(self._ask("POST", target, urlencode(form).encode())[2])

    def intents(self) -> list[dict[str, Any]]:
        return self._everything("/v1/payment_intents")

    def events(self) -> list[dict[str, Any]]:
        return self._everything("/v1/events")

    def pay(self, intent_id: str) -> dict[str, Any]:
        """Pay the intent with a valid card and return the event."""
        card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123"}
        method = self.post(
            "/v1/payment_methods",
            type="card",
            **{f"card[{name}]": value for name, value in card.items()},
        )
        self.post(f"/v1/payment_intents/{intent_id}", payment_method=method["id"])
        paid = self.post(f"/v1/payment_intents/{intent_id}/confirm")
        assert paid["status"] == "succeeded", paid
        return next(event for event in self.events() if event["data"]["object"]["id"] == intent_id)


def event(type_: str, object_: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return an event in Stripe's format that exists only in the test."""
    return {
        "id": f"evt_{secrets.token_hex(8)}",
        "object": "event",
        "type": type_,
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": object_},
        **fields,
    }


def _json(**headers: str) -> dict[str, str]:
    return {"Content-Type": "application/json", **headers}


def _error(
    status: int,
    type_: str,
    message: str = "made to fail",
    code: str = "",
    headers: dict[str, str] | None = None,
) -> Reply:
    error = {"type": type_, "message": message, **({"code": code} if code else {})}
    return status, _json(**(headers or {})), json.dumps({"error": error}).encode()


if __name__ == "__main__":
    port, *options = sys.argv[1:] or ["0"]
    double = StripeDouble(int(port), StripeAccount() if "--in-memory" in options else None)
    print(double.base, flush=True)
    try:
        threading.Event().wait()
    finally:
        double.close()
