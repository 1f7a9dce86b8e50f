"""Provide the shop's compressed time, and run the actions that are planned for later."""

import heapq
import itertools
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from payments import services

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


class Clock:
    def __init__(self, start: datetime, tick: timedelta) -> None:
        self.now, self.tick = start, tick
        self._agenda: list[tuple[datetime, int, Callable[[], object]]] = []
        self._tie = itertools.count()

    def timestamp(self) -> float:
        return self.now.timestamp()

    def at(self, delay: timedelta, action: Callable[[], object]) -> None:
        """Plan an action, which `run_tick()` runs once the delay has passed."""
        heapq.heappush(self._agenda, (self.now + delay, next(self._tie), action))

    def run_tick(self) -> Iterator[None]:
        """Run the actions planned until the next tick, yield after each, and advance the time to that tick."""
        ends = self.now + self.tick
        while self._agenda and self._agenda[0][0] <= ends:
            self.now, _, action = heapq.heappop(self._agenda)
            try:
                action()
            except (services.StripeUnavailable, services.InProgress):
                self.at(10 * MINUTE, action)  # The buyer's browser tries again.
            yield
        self.now = ends
