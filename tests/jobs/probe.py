"""Define tasks that workers run in tests. The tasks write to files, which the tests read."""

import os
import time
from pathlib import Path


def note(*, path: str, text: str, seconds: float = 0) -> str:
    """After `seconds`, append `text` to a file as a line. Append mode keeps lines of concurrent tasks intact."""
    time.sleep(seconds)
    with Path(path).open("a") as file:
        file.write(f"{text}\n")
    return text


def start_then_wait(*, path: str, seconds: float) -> None:
    """Write the process id to a file, sleep, then write "finished"."""
    note(path=path, text=f"started {os.getpid()}")
    time.sleep(seconds)
    note(path=path, text="finished")
