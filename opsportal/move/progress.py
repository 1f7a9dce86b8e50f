"""Show the progress of the move: as a bar on a terminal, otherwise as a line every ten seconds."""

import sys
import time
from typing import TextIO

BAR_WIDTH = 30
TERMINAL_SECONDS, LOG_SECONDS = 0.2, 10.0
# Read the clock only once in this many rows, because reading it for each row would be slow.
ROWS_PER_CHECK = 256


class Progress:
    def __init__(self, output: TextIO | None = None) -> None:
        self._output = output or sys.stdout
        self._is_terminal = self._output.isatty()
        self._step, self._what = "", ""
        self._total = self._done = 0
        self._began_at = self._shown_at = 0.0
        self._began_with = 0

    def say(self, text: str) -> None:
        self._end_line()
        self._output.write(text + "\n")
        self._output.flush()

    def begin(self, step: str, total: int, done: int = 0) -> None:
        """Begin a step with `total` rows, of which `done` rows are finished already."""
        self._step, self._total, self._done, self._began_with = step, total, done, done
        self._began_at = self._shown_at = time.monotonic()

    def at(self, what: str) -> None:
        """Set the name of the table that is being processed, to show it beside the progress."""
        self._what = what

    def advance(self, rows: int = 1) -> None:
        self._done += rows
        if rows == 1 and self._done % ROWS_PER_CHECK:
            return
        now = time.monotonic()
        if now - self._shown_at >= (TERMINAL_SECONDS if self._is_terminal else LOG_SECONDS):
            self._shown_at = now
            self._show(now)

    def end(self) -> None:
        seconds = time.monotonic() - self._began_at
        self.say(f"{self._step}: {self._done:,} rows in {_duration(seconds)}")

    def _show(self, now: float) -> None:
        share = min(1.0, self._done / self._total) if self._total else 1.0
        rate = (self._done - self._began_with) / max(now - self._began_at, 0.001)
        left = (self._total - self._done) / rate if rate else 0.0
        text = (
            f"{share:4.0%}  {self._done:,} of {self._total:,} rows, {rate:,.0f} a second,"
            f" {_duration(max(left, 0))} left  {self._what}"
        )
        if self._is_terminal:
            bar = "#" * round(share * BAR_WIDTH)
            self._output.write(f"\r\033[K{self._step} [{bar:<{BAR_WIDTH}}] {text}")
        else:
            self._output.write(f"{self._step} {text}\n")
        self._output.flush()

    def _end_line(self) -> None:
        if self._is_terminal:
            self._output.write("\r\033[K")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
