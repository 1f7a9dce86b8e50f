"""Play a story of ten minutes: the shop is healthy, a bad release breaks its checkout, and the release is rolled back.

The story starts from the demo's control page (`demo/control.py`). While it runs, the usual outages do not occur.
"""

import threading
import time
from dataclasses import dataclass
from enum import StrEnum

from demo.shop import GOOD_RELEASE, Shop

BAD_RELEASE = "shop@2.15.0"
LENGTH_SECONDS = 600.0
# The minimum number of orders that fail before the rollback, which is enough for an alert about critical errors.
MIN_INTERRUPTED = 8
# A scene lasts up to this many times its length, plus 10 s, until its goal is reached.
MAX_STRETCH = 3


class Scene(StrEnum):
    HEALTHY = "healthy"
    BAD_RELEASE = "bad release"
    ROLLBACK = "rollback"
    FINISHED = "finished"


@dataclass(frozen=True)
class Chapter:
    scene: Scene
    share: float  # The scene's share of the story's length.
    title: str
    text: str
    page: str  # The page of the portal that shows the effect of the scene.


CHAPTERS = [
    Chapter(
        Scene.HEALTHY,
        0.2,
        "All is well",
        f"Buyers reserve and pay with {GOOD_RELEASE}. The health page is green, and sales arrive.",
        "/admin/system-health/",
    ),
    Chapter(
        Scene.BAD_RELEASE,
        0.4,
        "A bad release",
        f"{BAD_RELEASE} is deployed. Its checkout fails, and each error names the buyer's order. An alert about "
        "critical errors opens, with the money at risk and the deploy as a possible cause.",
        "/admin/alerts/",
    ),
    Chapter(
        Scene.ROLLBACK,
        0.4,
        "Rollback and recovery",
        f"{GOOD_RELEASE} is deployed again. Most buyers return and pay, so their orders are recovered. The holds of "
        "the other buyers expire after five minutes, so these orders are lost. The alert resolves.",
        "/admin/errors/",
    ),
]


class Story:
    """A story that plays once from `start()` to its end and can be started again afterwards."""

    def __init__(self, shop: Shop, *, length_seconds: float = LENGTH_SECONDS) -> None:
        self.length_seconds = length_seconds
        # The current or last scene, or None before the first start.
        self.scene: Scene | None = None
        self._shop = shop
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        return self.scene not in (None, Scene.FINISHED)

    def start(self) -> bool:
        """Start the story. Return False if it is already running."""
        with self._lock:
            if self.is_running:
                return False
            self.scene = Scene.HEALTHY
            self._thread = threading.Thread(target=self._play, daemon=True, name="story")
            self._thread.start()
            return True

    def close(self) -> None:
        self._stopped.set()
        if self._thread:
            self._thread.join(timeout=5)

    def _play(self) -> None:
        for chapter in CHAPTERS:
            self._enter(chapter.scene)
            self._wait(chapter)
            if self._stopped.is_set():
                return
        self._enter(Scene.FINISHED)

    def _enter(self, scene: Scene) -> None:
        if scene == Scene.HEALTHY:
            self._shop.direct("")
            self._shop.deploy(GOOD_RELEASE)
        elif scene == Scene.BAD_RELEASE:
            self._shop.deploy(BAD_RELEASE)
            self._shop.direct("release")
        elif scene == Scene.ROLLBACK:
            self._shop.direct("")
            self._shop.deploy(GOOD_RELEASE)
        else:
            self._shop.direct(None)
        self.scene = scene

    def _wait(self, chapter: Chapter) -> None:
        """Wait for the chapter's time and, on a slow machine, until its goal is reached."""
        seconds = chapter.share * self.length_seconds
        latest = time.monotonic() + seconds * MAX_STRETCH + 10
        self._stopped.wait(seconds)
        while time.monotonic() < latest and not self._has_happened(chapter.scene):
            if self._stopped.wait(0.1):
                return

    def _has_happened(self, scene: Scene) -> bool:
        waiting = self._shop.interrupted_count
        if scene == Scene.BAD_RELEASE:
            return waiting >= MIN_INTERRUPTED
        return scene != Scene.ROLLBACK or waiting == 0
