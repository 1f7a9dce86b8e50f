"""Tasks that real workers of the tests run, and what they leave behind to be seen."""

import os
import time
from pathlib import Path


def note(*, path: str, text: str, seconds: float = 0) -> str:
    """Append a line; the file is opened for appending, so concurrent lines stay whole."""
    time.sleep(seconds)
    with Path(path).open("a") as file:
        file.write(f"{text}\n")
    return text


def start_then_wait(*, path: str, seconds: float) -> None:
    """Say that it runs and in which process, then take its time."""
    note(path=path, text=f"started {os.getpid()}")
    time.sleep(seconds)
    note(path=path, text="finished")
