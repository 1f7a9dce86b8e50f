"""What an app of the shop knows of the portal: its address, its keys, and the public endpoints. Nothing else."""

import threading
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Keys:
    id: int
    dsn_key: str
    api_key: str


class Portal:
    """Calls the portal as one app. An endpoint that is missing or refuses is told once, and the shop goes on."""

    def __init__(self, base_url: str, keys: Keys) -> None:
        self.base_url = base_url
        self.keys = keys
        self._http = httpx.Client(
            base_url=base_url, timeout=10, headers={"Authorization": f"Bearer {keys.api_key}"}
        )
        self._missing: set[str] = set()
        self._lock = threading.Lock()

    def close(self) -> None:
        self._http.close()

    @property
    def dsn(self) -> str:
        return self.base_url.replace("://", f"://{self.keys.dsn_key}@") + f"/{self.keys.id}"

    def get(self, path: str) -> Any:
        return self._call("GET", path, None, {})

    def post(self, path: str, body: object, **headers: str) -> Any:
        """The answer's JSON; None when the endpoint is not there, refuses, or cannot be reached."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._call("POST", path, body, named)

    def _call(self, method: str, path: str, body: object, headers: dict[str, str]) -> Any:
        area = "/".join(path.split("/")[:4])
        if area in self._missing:
            return None
        try:
            response = self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError:
            return None  # the portal restarts, or Ctrl-C has come: a shop lives with that
        if response.status_code == 404 and "no such" not in response.text:
            self._tell_once(area, f"{area}/ is not there yet")
            with self._lock:
                self._missing.add(area)
        elif response.status_code in (400, 401, 403, 405, 422):
            self._tell_once(
                f"{area} {response.status_code}",
                f"{method} {path} refused: {response.status_code} {response.text[:200]}",
            )
        return response.json() if response.is_success and response.content else None

    def _tell_once(self, key: str, sentence: str) -> None:
        with self._lock:
            if key in self._missing:
                return
            if " " in key:
                self._missing.add(key)
        print(f"shop: {sentence}", flush=True)
