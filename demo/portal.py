"""Call the portal like the shop's apps, which have only a URL, keys and the public endpoints."""

import threading
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Keys:
    """An app's id and keys in the portal."""

    id: int
    dsn_key: str
    api_key: str


class Portal:
    """A client of the portal for one app. It prints each kind of rejected request once and continues."""

    def __init__(self, base_url: str, keys: Keys) -> None:
        self.base_url = base_url
        self.keys = keys
        self._http = httpx.Client(
            base_url=base_url, timeout=10, headers={"Authorization": f"Bearer {keys.api_key}"}
        )
        # The areas of the API that do not exist, according to the portal's responses.
        self._missing: set[str] = set()
        self._printed: set[str] = set()
        self._lock = threading.Lock()

    def close(self) -> None:
        self._http.close()

    @property
    def dsn(self) -> str:
        return self.base_url.replace("://", f"://{self.keys.dsn_key}@") + f"/{self.keys.id}"

    def get(self, path: str) -> Any:
        return self._call("GET", path, None, {})

    def post(self, path: str, body: object, **headers: str) -> Any:
        """Return the response's JSON, or None if the endpoint is missing, rejects the request or is unavailable."""
        dashed = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._call("POST", path, body, dashed)

    def _call(self, method: str, path: str, body: object, headers: dict[str, str]) -> Any:
        area = "/".join(path.split("/")[:4])
        if area in self._missing:
            return None
        try:
            response = self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError:
            return None  # The portal is probably restarting or stopping.
        if response.status_code == 404 and "no such" not in response.text:
            self._missing.add(area)
            self._print_once(area, f"{area}/ does not exist")
        elif response.status_code in (400, 401, 403, 405, 422):
            self._print_once(
                f"{area} {response.status_code}",
                f"{method} {path} was rejected: {response.status_code} {response.text[:200]}",
            )
        return response.json() if response.is_success and response.content else None

    def _print_once(self, key: str, sentence: str) -> None:
        with self._lock:
            if key in self._printed:
                return
            self._printed.add(key)
        print(f"shop: {sentence}", flush=True)
