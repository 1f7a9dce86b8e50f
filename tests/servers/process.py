"""Start child processes that, on Linux, end with the test process, even if it is killed with SIGKILL."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# A new interpreter sets the parent-death signal, which only Linux has, and then executes the program. Popen's
# preexec_fn could do this, but it may deadlock in a process with threads, and Python 3.12 warns about it.
_LAUNCH = """
import ctypes, os, sys
parent, wanted, user, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
if user:  # import first: the user may not have access to the interpreter's folder
    import pwd
    entry = pwd.getpwnam(user)
    os.setgroups([]); os.setgid(entry.pw_gid); os.setuid(entry.pw_uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, wanted)
    if os.getppid() != parent:
        sys.exit("the parent process has ended")
try:
    os.execvp(program, sys.argv[4:])
except OSError as error:
    sys.exit(f"{program}: {error}")
"""


class DidNotStart(Exception):
    pass


def free_port(host: str = "127.0.0.1") -> int:
    """Return a free port of `host`, or a random port if `host` is the address of another machine or namespace."""
    with socket.socket() as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return 20_000 + secrets.randbelow(10_000)
        return int(probe.getsockname()[1])


def spawn(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str = "",
    prefix: Sequence[str] = (),
    death_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a program in its own session and write its output to `log`.

    If `user` is set, run the program as that user. `prefix` is a command that runs the program, such as
    `ip netns exec name`.
    """
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), str(int(death_signal))]
    with log.open("ab") as output:
        return subprocess.Popen(
            [*prefix, *launcher, user, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            start_new_session=True,
        )


def stop(
    process: subprocess.Popen[bytes],
    sent: signal.Signals = signal.SIGTERM,
    grace_seconds: float = 10,
) -> None:
    """Send the signal `sent` to the process, and kill its whole group if it does not end within `grace_seconds`."""
    if process.poll() is None:
        process.send_signal(sent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)
    kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all processes of its session with SIGKILL."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(
    ready: Callable[[], bool],
    *,
    process: subprocess.Popen[bytes] | None = None,
    log: Path | None = None,
    seconds: float = 60,
    what: str = "the server",
) -> None:
    """Poll until `ready()` is true. Raise DidNotStart with the end of the log after `seconds`, or if `process` ends."""
    deadline = time.monotonic() + seconds
    while not ready():
        has_ended = process is not None and process.poll() is not None
        if has_ended or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-3000:] if log and log.exists() else ""
            reason = "ended at once" if has_ended else f"did not start within {seconds:g} s"
            raise DidNotStart(f"{what} {reason}\n{tail}")
        time.sleep(0.02)


def answers(port: int, host: str = "127.0.0.1") -> bool:
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def unprivileged_user() -> str:
    """Return the name of a user for servers that refuse to run as root, or "" if this process does not run as root."""
    if os.geteuid() != 0:
        return ""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody", "daemon") if name in names)


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
