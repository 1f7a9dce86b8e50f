"""Send one kind of API request as fast as the portal responds, and print a report.

    python -m bench.request_load reserve --port 8000 --key ops_… --ticket-type 1 --connections 4 --seconds 5

Each request has its own idempotency key, customer or event id, so that no request repeats an earlier request.
"""

import argparse
import hashlib
import hmac
import json
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from enum import StrEnum
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PROCESSES = 2
WEBHOOK_SECRET = "whsec_double"


class Kind(StrEnum):
    ERROR = "error"
    RESERVE = "reserve"
    PAYMENTS = "payments"
    WEBHOOKS = "webhooks"


class Target(NamedTuple):
    port: int
    key: str  # An API key with the scopes of the requests.
    ticket_type: int


class Request(NamedTuple):
    path: str
    body: bytes
    headers: dict[str, str]


def build_request(kind: Kind, target: Target) -> Request:
    unique = uuid.uuid4().hex
    headers = {"Content-Type": "application/json"}
    if kind is Kind.WEBHOOKS:
        body = json.dumps(_event(unique)).encode()
        return Request(
            "/api/v1/webhooks/stripe/", body, {**headers, "Stripe-Signature": _signature(body)}
        )
    headers |= {"Authorization": f"Bearer {target.key}", "Idempotency-Key": unique}
    path, content = {
        Kind.ERROR: (
            "/api/v1/errors/",
            {"message": "Bench", "severity": "error", "function": "bench"},
        ),
        Kind.RESERVE: (
            "/api/v1/reservations/",
            {"items": [{"ticket_type": target.ticket_type, "quantity": 1}]},
        ),
        Kind.PAYMENTS: (
            "/api/v1/payments/",
            {"amount": 2500, "currency": "EUR", "order_id": unique, "customer": f"c-{unique}"},
        ),
    }[kind]
    return Request(path, json.dumps(content).encode(), headers)


def _event(unique: str) -> dict:
    now = int(time.time())
    intent = {
        "id": f"pi_{unique}",
        "object": "payment_intent",
        "amount": 2500,
        "currency": "eur",
        "status": "processing",
        "created": now,
        "livemode": False,
        "metadata": {},
    }
    return {
        "id": f"evt_{unique}",
        "object": "event",
        "type": "payment_intent.processing",
        "created": now,
        "livemode": False,
        "data": {"object": intent},
    }


def _signature(body: bytes) -> str:
    now = int(time.time())
    signed = b"%d.%s" % (now, body)
    digest = hmac.new(WEBHOOK_SECRET.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={now},v1={digest}"


def send(kind: Kind, target: Target, connections: int, seconds: float) -> dict:
    """Send requests from this process. Return the latencies of successes and the statuses of failures."""
    durations_ms: list[float] = []
    refused: Counter[int] = Counter()
    lock = threading.Lock()

    def send_all() -> None:
        connection = HTTPConnection("127.0.0.1", target.port, timeout=30)
        end = time.monotonic() + seconds
        while (started := time.monotonic()) < end:
            request = build_request(kind, target)
            connection.request("POST", request.path, request.body, request.headers)
            response = connection.getresponse()
            response.read()
            duration_ms = 1000 * (time.monotonic() - started)
            with lock:
                if response.status < 300:
                    durations_ms.append(duration_ms)
                else:
                    refused[response.status] += 1
        connection.close()

    threads = [threading.Thread(target=send_all) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"durations_ms": durations_ms, "refused": refused}


def load(kind: Kind, target: Target, connections: int, seconds: float) -> dict:
    """Send requests from two processes. Return `acked`, `acked_per_s` and `p99_ms`. Any refusal ends the benchmark."""
    command = [
        sys.executable, "-m", "bench.request_load", kind, "--port", str(target.port), "--key", target.key,
        "--ticket-type", str(target.ticket_type), "--connections", str(connections // PROCESSES),
        "--seconds", str(seconds),
    ]  # fmt: skip
    started = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    durations_ms: list[float] = []
    for process in started:
        report = json.loads(process.communicate()[0])
        if report["refused"]:
            raise SystemExit(f"{kind}: requests were refused, by status: {report['refused']}")
        durations_ms += report["durations_ms"]
    durations_ms.sort()
    return {
        "acked": len(durations_ms),
        "acked_per_s": len(durations_ms) / seconds,
        "p99_ms": durations_ms[int(len(durations_ms) * 0.99)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=list(Kind), type=Kind)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", default="")
    parser.add_argument("--ticket-type", type=int, default=0)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5)
    given = parser.parse_args()
    target = Target(given.port, given.key, given.ticket_type)
    print(json.dumps(send(given.kind, target, given.connections, given.seconds)))


if __name__ == "__main__":
    main()
