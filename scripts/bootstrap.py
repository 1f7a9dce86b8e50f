#!/usr/bin/env python3
"""Makes .venv from the hash-locked requirements: `bootstrap.py run`, or `bootstrap.py dev` for tests and checks too.

Needs nothing but Python and its standard library. Done once, it is a no-op until a lock changes.
"""

from __future__ import annotations  # so that an old Python gets far enough to be told

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

OLDEST_PYTHON = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "requirements"
# The one package that comes as source only. It is built with the locked setuptools, not with a fetched one.
BUILT = "localstripe"
PIP_INSTALL = (PYTHON, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes")  # fmt: skip


def main() -> None:
    if sys.version_info < OLDEST_PYTHON:
        wanted, found = map(_dotted, (OLDEST_PYTHON, sys.version_info[:3]))
        sys.exit(
            f"opsportal needs Python {wanted} or newer; {sys.executable} is {found}. "
            "Name another one: make PYTHON=/path/to/python3 run"
        )
    what = sys.argv[1] if len(sys.argv) == 2 else ""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or every start compiles everything again
    if what in ("run", "dev"):
        install(what)
    else:
        sys.exit(f"usage: {sys.argv[0]} run|dev")


# --- packages -------------------------------------------------------------------------------------


def install(what: str) -> None:
    lock = REQUIREMENTS / f"{what}.txt"
    if _is_installed(what):
        return
    started = time.monotonic()
    _say(f"installing {'what the portal runs on' if what == 'run' else 'the development tools'} …")
    _make_venv()
    source = _without(lock, BUILT) if what == "dev" else lock
    if not (_uv_is_there() and _install_with_uv(source)):
        _say("going on with pip, which takes longer")
        _run(*PIP_INSTALL, "--only-binary", ":all:", "-r", source)
    if what == "dev":
        _install_built(lock)
    _stamp(what).write_text(_fingerprint(what))
    _say(f"installed in {time.monotonic() - started:.0f} s")


def _is_installed(what: str) -> bool:
    if not PYTHON.exists():
        return False
    wider = ("dev",) if what == "dev" else ("dev", "run")  # dev.txt holds all of run.txt
    return any(_stamp(w).exists() and _stamp(w).read_text() == _fingerprint(w) for w in wider)


def _stamp(what: str) -> Path:
    return VENV / f".installed-{what}"


def _fingerprint(what: str) -> str:
    """Changes with the locks, this file, and the interpreter the environment was made with."""
    files = [REQUIREMENTS / f"{what}.txt", REQUIREMENTS / "run.txt", Path(__file__)]
    content = b"".join(file.read_bytes() for file in files)
    return hashlib.sha256(content + os.path.realpath(PYTHON).encode()).hexdigest()


def _make_venv() -> None:
    if (
        PYTHON.exists()
        and not subprocess.run(
            [PYTHON, "-c", "import pip"], stderr=subprocess.DEVNULL, check=False
        ).returncode
    ):
        return
    if VENV.is_symlink():
        sys.exit(
            f".venv points to {os.readlink(VENV)}, which is no working environment: remove the link"
        )
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run(
        [sys.executable, "-m", "venv", VENV], capture_output=True, text=True, check=False
    )
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(
            "python's venv module does not work here. On Debian and Ubuntu: apt-get install python3-venv\n"
            + (made.stderr or made.stdout).strip()[-500:]
        )


def _uv_is_there() -> bool:
    if (VENV / "bin" / "uv").exists():
        return True
    got = _quietly(*PIP_INSTALL, "--only-binary", ":all:", "-r", REQUIREMENTS / "uv.txt")
    return got.returncode == 0


def _install_with_uv(lock: Path) -> bool:
    done = _quietly(
        VENV / "bin" / "uv",
        "pip",
        "install",
        "-qq",
        "--python",
        PYTHON,
        "--require-hashes",
        "--no-build",
        "--compile-bytecode",
        "-r",
        lock,
        env={**os.environ, **uv_settings()},
    )
    if done.returncode:
        print(done.stderr.strip()[-1500:], file=sys.stderr)
    return done.returncode == 0


def _install_built(lock: Path) -> None:
    if not _quietly(PYTHON, "-c", f"import {BUILT}").returncode:
        return
    only = VENV / f".{BUILT}.txt"
    only.write_text("\n".join(_entries(lock)[BUILT]) + "\n")
    _run(
        *PIP_INSTALL,
        "--no-deps",
        "--no-build-isolation",
        "--no-binary",
        BUILT,
        "-r",
        only,
    )


def _without(lock: Path, name: str) -> Path:
    """A copy of the lock without one package."""
    copy = VENV / f".{lock.name}"
    kept = [line for package, lines in _entries(lock).items() if package != name for line in lines]
    copy.write_text("\n".join(kept) + "\n")
    return copy


def _entries(lock: Path) -> dict[str, list[str]]:
    """The lock's lines by package name."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in lock.read_text().splitlines():
        if line and line[0].isalnum():
            name = line.split("==")[0].split("[")[0].strip()
        found.setdefault(name, []).append(line)
    return found


def locked_here(lock: Path) -> list[str]:
    """The locked packages, without those that are only for other systems or Pythons."""
    return [name for name, lines in _entries(lock).items() if name and ";" not in lines[0]]


# --- people behind a mirror: pip's settings, in uv's words ------------------------------------------


def uv_settings() -> dict[str, str]:
    """uv does not read pip's configuration; this says the same to it. A UV_ variable that is set stays."""
    listed = _quietly(PYTHON, "-m", "pip", "config", "list").stdout.splitlines()
    pip: dict[str, str] = {}
    for line in listed:  # in rising order of precedence, the environment (":env:") last
        key, _, value = line.partition("=")
        if key.split(".")[0] in ("global", "install", ":env:"):
            pip[key.split(".", 1)[1]] = value.strip().strip("'\"").replace("\\n", " ")
    for variable, value in os.environ.items():
        if variable.startswith("PIP_"):
            pip[variable.removeprefix("PIP_").lower().replace("_", "-")] = value
    words = {
        "index-url": "UV_DEFAULT_INDEX",
        "extra-index-url": "UV_INDEX",
        "find-links": "UV_FIND_LINKS",
        "no-index": "UV_NO_INDEX",
        "cert": "SSL_CERT_FILE",
        "trusted-host": "UV_INSECURE_HOST",
        "default-timeout": "UV_HTTP_TIMEOUT",
        "timeout": "UV_HTTP_TIMEOUT",
        "proxy": "ALL_PROXY",
    }
    said = {uv: pip[key] for key, uv in words.items() if pip.get(key) and uv not in os.environ}
    if "UV_FIND_LINKS" in said:  # pip parts them by spaces, uv by commas
        said["UV_FIND_LINKS"] = ",".join(said["UV_FIND_LINKS"].split())
    # As pip does: the best version of all indexes. Hashes decide what may be installed.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_LINK_MODE": "copy", **said}


# --- small things ------------------------------------------------------------------------------------


def _run(*command: object) -> None:
    code = subprocess.call([str(part) for part in command], cwd=ROOT)
    if code:
        sys.exit(f"failed: {' '.join(map(str, command))}")


def _quietly(
    *command: object, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _say(sentence: str) -> None:
    print(sentence, flush=True)


if __name__ == "__main__":
    main()
