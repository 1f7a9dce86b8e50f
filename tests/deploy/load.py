"""Simulate apps that keep posting while hosts fail, and record the acknowledged ids for a comparison afterwards."""

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from itertools import pairwise

import httpx

Posted = tuple[str, object, dict[str, str]]  # Path, body and headers of a request.

READ_LIMIT, WINDOW_SECONDS = 30, 60
SET_LIMITS = f"""
from core.limits.models import RateLimitTier
RateLimitTier.objects.update(limit=100000)
RateLimitTier.objects.filter(tier="read").update(limit={READ_LIMIT}, window_seconds={WINDOW_SECONDS})
"""
BY_ADDRESS, BY_KEY = "/status/", "/api/v1/error-groups/"
# The most calls of a path that one window may accept. With a key, two more calls are possible: the limits cache a
# verified key for a minute, and the call that verifies it again counts toward the address. After an outage, two such
# calls may fall into one window.
ACCEPTABLE = {BY_ADDRESS: READ_LIMIT, BY_KEY: READ_LIMIT + 2}


class Load:
    """Threads that post one item after another, and repeat each with its id until it is acknowledged or refused."""

    def __init__(
        self,
        url: str,
        api_key: str,
        ticket_type: int,
        *,
        has_payments: bool = False,
        exceeds_limits: bool = False,
        timeout_seconds: float = 8,
    ) -> None:
        self.url, self.ticket_type, self.timeout_seconds = url, ticket_type, timeout_seconds
        self.headers = {"Authorization": f"Bearer {api_key}"}
        self.acknowledged: dict[str, list[str]] = defaultdict(list)
        # Seconds from time.monotonic().
        self.acknowledged_at: dict[str, list[float]] = defaultdict(list)
        # Responses that an outage of the database does not explain. The test must fail if there are any.
        self.refused: list[str] = []
        # Maps each limited path to the times at which each accepted call was sent and answered.
        self.accepted: dict[str, list[tuple[float, float]]] = {path: [] for path in ACCEPTABLE}
        # Paths with calls that were rejected because of the limit.
        self.limited: set[str] = set()
        self._ending = threading.Event()
        kinds = [self.error, self.error, self.reservation, self.signals]
        if has_payments:
            kinds.append(self.payment)
        self._threads = [
            threading.Thread(target=self._work, args=(kind,), daemon=True) for kind in kinds
        ]
        if exceeds_limits:
            self._threads += [
                threading.Thread(target=self._exceed_limit, args=call, daemon=True)
                for call in ((BY_ADDRESS, None), (BY_KEY, self.headers))
            ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(15)

    def longest_gap(self, since: float) -> float:
        """Return the longest gap between two acknowledged requests of the same kind after `since`, in seconds."""
        return max(
            max(
                later - earlier
                for earlier, later in pairwise(
                    [since, *[t for t in times if t > since], time.monotonic()]
                )
            )
            for times in [list(times) for times in self.acknowledged_at.values()]
        )

    def count(self) -> int:
        return sum(len(ids) for ids in list(self.acknowledged.values()))

    def most_accepted(self) -> dict[str, int]:
        """Return, for each limited path, the largest number of calls that were accepted within one window.

        Only calls that were certainly accepted within one window are counted together.
        """
        return {
            path: max(
                sum(answered_at < sent_at + WINDOW_SECONDS for _, answered_at in calls[first:])
                for first, (sent_at, _) in enumerate(calls)
            )
            for path, calls in [(path, list(calls)) for path, calls in self.accepted.items()]
            if calls
        }

    # --- requests -----------------------------------------------------------------------------------------

    def error(self, key: str) -> Posted:
        body = {"event_id": key, "message": f"Gate {key[0]} does not answer", "severity": "error"}
        return "/api/v1/errors/", body, {}

    def reservation(self, key: str) -> Posted:
        items = [{"ticket_type": self.ticket_type, "quantity": 1}]
        return "/api/v1/reservations/", {"items": items}, {"Idempotency-Key": key}

    def signals(self, key: str) -> Posted:
        signal = {"type": "counter", "name": "deploy_load", "value": 1}
        return "/api/v1/signals/", {"signals": [signal], "batch_id": key}, {}

    def payment(self, key: str) -> Posted:
        body = {
            "amount": 2500,
            "currency": "eur",
            "order_id": key,
            "customer": f"{key}@shop.example",
        }
        return "/api/v1/payments/", body, {"Idempotency-Key": key}

    # --- posting -------------------------------------------------------------------------------------------

    def _work(self, make: Callable[[str], Posted]) -> None:
        # Items whose earlier attempt with the same id is still being processed.
        waiting: list[tuple[str, Posted]] = []
        with httpx.Client(
            base_url=self.url, headers=self.headers, timeout=self.timeout_seconds
        ) as client:
            while not self._ending.is_set():
                key = uuid.uuid4().hex
                items = [(key, make(key)), *waiting[:1]]
                for key, posted in items:
                    while (answer := self._post(client, key, *posted)) is Answer.RETRY:
                        if self._ending.is_set():
                            return
                        time.sleep(0.1)
                    waiting = [item for item in waiting if item[0] != key]
                    if answer is Answer.BUSY:
                        waiting.append((key, posted))
                # At this pace, a thread sends at most 300 new items per minute, half of an app's limit of 600 requests.
                time.sleep(0.2)

    def _exceed_limit(self, path: str, headers: dict[str, str] | None) -> None:
        with httpx.Client(
            base_url=self.url, headers=headers, timeout=self.timeout_seconds
        ) as client:
            while not self._ending.wait(0.25):
                sent_at = time.monotonic()
                with suppress(httpx.HTTPError):
                    response = client.get(path)
                    if response.is_success:
                        self.accepted[path].append((sent_at, time.monotonic()))
                    elif response.status_code == 429:
                        self.limited.add(path)

    def _post(
        self, client: httpx.Client, key: str, path: str, body: object, headers: dict[str, str]
    ) -> "Answer":
        """Post the item once. Return DONE, or BUSY or RETRY if the item must be posted again."""
        try:
            response = client.post(path, json=body, headers=headers)
        except httpx.HTTPError:
            return Answer.RETRY
        if response.is_success:
            self.acknowledged_at[path].append(time.monotonic())
            self.acknowledged[path].append(key)
            return Answer.DONE
        if response.status_code == 409:
            return Answer.BUSY
        if response.status_code in (429, 500, 502, 503, 504):
            if response.status_code == 500:
                self.refused.append(f"500 {path} {response.text[:300]}")
            return Answer.RETRY
        self.refused.append(f"{response.status_code} {path} {response.text[:300]}")
        return Answer.DONE


class Answer(Enum):
    DONE = "done"
    RETRY = "retry"
    BUSY = "busy"
