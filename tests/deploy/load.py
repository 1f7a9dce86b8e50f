"""Apps that keep posting while hosts fail. Acknowledged ids are recorded, to be compared with the database."""

import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable

import httpx

Posted = tuple[str, object, dict[str, str]]  # address, body, headers


class Load:
    """Threads that post one item after another, repeating each with the same id until it is acknowledged."""

    def __init__(self, url: str, api_key: str, ticket_type: int) -> None:
        self.url, self.ticket_type = url, ticket_type
        self.headers = {"Authorization": f"Bearer {api_key}"}
        self.acknowledged: dict[str, list[str]] = defaultdict(list)
        self.refused: list[str] = []  # responses that an outage does not explain
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(kind,), daemon=True)
            for kind in (self.error, self.error, self.reservation, self.signals)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(15)

    def count(self) -> int:
        return sum(len(ids) for ids in list(self.acknowledged.values()))

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

    # --- posting -------------------------------------------------------------------------------------------

    def _work(self, make: Callable[[str], Posted]) -> None:
        with httpx.Client(base_url=self.url, headers=self.headers, timeout=8) as client:
            while not self._ending.is_set():
                key = uuid.uuid4().hex
                path, body, headers = make(key)
                while not self._ending.is_set() and not self._post(
                    client, key, path, body, headers
                ):
                    time.sleep(0.1)
                time.sleep(0.2)  # 300 per minute; the limit of an app is 600

    def _post(
        self, client: httpx.Client, key: str, path: str, body: object, headers: dict[str, str]
    ) -> bool:
        """Post once; return True if this id needs no further attempt."""
        try:
            response = client.post(path, json=body, headers=headers)
        except httpx.HTTPError:
            return False
        if response.is_success:
            self.acknowledged[path].append(key)
            return True
        if response.status_code in (429, 500, 502, 503, 504):
            if response.status_code == 500:
                self.refused.append(f"500 {path} {response.text[:300]}")
            return False
        self.refused.append(f"{response.status_code} {path} {response.text[:300]}")
        return True
