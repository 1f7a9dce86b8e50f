#!/usr/bin/env python3
"""Create .venv from the hash-locked requirements: `bootstrap.py run`, or `bootstrap.py dev` for tests and checks too.

The script needs only Python and its standard library, and does nothing unless a lock, the interpreter or this file
changed since the last run.
"""

# Without this import, Python 3.8 would fail on annotations such as `tuple[int, ...]` before the version check.
from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

MIN_PYTHON = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "requirements"
# The only package without a wheel. It is built with the locked setuptools, so that the build downloads nothing.
SOURCE_ONLY = "localstripe"
PIP_INSTALL = (PYTHON, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes")  # fmt: skip


def main() -> None:
    if sys.version_info < MIN_PYTHON:
        required, found = map(_dotted, (MIN_PYTHON, sys.version_info[:3]))
        sys.exit(
            f"opsportal requires Python {required} or newer; {sys.executable} is {found}. "
            "Choose another interpreter: make PYTHON=/path/to/python3 run"
        )
    group = sys.argv[1] if len(sys.argv) == 2 else ""
    # With this variable, Python would not store compiled modules, and each start would compile all modules again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if group in ("run", "dev"):
        install(group)
    else:
        sys.exit(f"usage: {sys.argv[0]} run|dev")


# --- packages -------------------------------------------------------------------------------------


def install(group: str) -> None:
    lock = REQUIREMENTS / f"{group}.txt"
    if _is_installed(group):
        return
    started = time.monotonic()
    _say(f"installing {'the portal' if group == 'run' else 'the development tools'} …")
    _make_venv()
    source = _without(lock, SOURCE_ONLY) if group == "dev" else lock
    if not (_has_uv() and _install_with_uv(source)):
        _say("installing with pip instead, which takes longer")
        _run(*PIP_INSTALL, "--only-binary", ":all:", "-r", source)
    if group == "dev":
        _install_from_source(lock)
    _stamp(group).write_text(_fingerprint(group))
    _say(f"installed in {time.monotonic() - started:.0f} s")


def _is_installed(group: str) -> bool:
    if not PYTHON.exists():
        return False
    enough = ("dev",) if group == "dev" else ("dev", "run")  # dev.txt includes run.txt.
    return any(_stamp(g).exists() and _stamp(g).read_text() == _fingerprint(g) for g in enough)


def _stamp(group: str) -> Path:
    return VENV / f".installed-{group}"


def _fingerprint(group: str) -> str:
    """Return a hash of the locks, this file, and the interpreter of the environment."""
    files = [REQUIREMENTS / f"{group}.txt", REQUIREMENTS / "run.txt", Path(__file__)]
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
            f".venv links to {os.readlink(VENV)}, which is not a working environment: remove the link"
        )
    shutil.rmtree(VENV, ignore_errors=True)
    created = subprocess.run(
        [sys.executable, "-m", "venv", VENV], capture_output=True, text=True, check=False
    )
    if created.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(
            "Python's venv module does not work. On Debian and Ubuntu, run: apt-get install python3-venv\n"
            + (created.stderr or created.stdout).strip()[-500:]
        )


def _has_uv() -> bool:
    if (VENV / "bin" / "uv").exists():
        return True
    installed = _capture(*PIP_INSTALL, "--only-binary", ":all:", "-r", REQUIREMENTS / "uv.txt")
    return installed.returncode == 0


def _install_with_uv(lock: Path) -> bool:
    done = _capture(
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


def install_tools(folder: Path, lock: Path) -> None:
    """Install locked programs from wheels into a separate virtual environment."""
    uv, python = str(VENV / "bin" / "uv"), folder / "bin" / "python"
    settings = {**os.environ, **uv_settings()}
    if not python.exists():
        create = [uv, "venv", "-q", "--python", sys.executable, str(folder)]
        subprocess.run(create, env=settings, check=True)
    install = [
        uv,
        "pip",
        "install",
        "-q",
        "--python",
        str(python),
        "--require-hashes",
        "--no-build",
    ]
    subprocess.run([*install, "-r", str(lock)], env=settings, check=True)


def _install_from_source(lock: Path) -> None:
    if not _capture(PYTHON, "-c", f"import {SOURCE_ONLY}").returncode:
        return
    only = VENV / f".{SOURCE_ONLY}.txt"
    only.write_text("\n".join(_entries(lock)[SOURCE_ONLY]) + "\n")
    _run(
        *PIP_INSTALL,
        "--no-deps",
        "--no-build-isolation",
        "--no-binary",
        SOURCE_ONLY,
        "-r",
        only,
    )


def _without(lock: Path, name: str) -> Path:
    """Write a copy of the lock without one package and return its path."""
    copy = VENV / f".{lock.name}"
    kept = [line for package, lines in _entries(lock).items() if package != name for line in lines]
    copy.write_text("\n".join(kept) + "\n")
    return copy


def _entries(lock: Path) -> dict[str, list[str]]:
    """Return the lines of the lock file, grouped by package name."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in lock.read_text().splitlines():
        if line and line[0].isalnum():
            name = line.split("==")[0].split("[")[0].strip()
        found.setdefault(name, []).append(line)
    return found


def locked_here(lock: Path) -> list[str]:
    """Return the locked packages, except those for other systems or Python versions."""
    return [name for name, lines in _entries(lock).items() if name and ";" not in lines[0]]


# --- package mirrors: pip's settings for uv ----------------------------------------------------------


def uv_settings() -> dict[str, str]:
    """Translate pip's configuration, which uv does not read, into uv's variables. Keep variables that are set."""
    listed = _capture(PYTHON, "-m", "pip", "config", "list").stdout.splitlines()
    pip: dict[str, str] = {}
    # Later entries take precedence over earlier ones; the environment (":env:") comes last.
    for line in listed:
        key, _, value = line.partition("=")
        if key.split(".")[0] in ("global", "install", ":env:"):
            pip[key.split(".", 1)[1]] = value.strip().strip("'\"").replace("\\n", " ")
    for variable, value in os.environ.items():
        if variable.startswith("PIP_"):
            pip[variable.removeprefix("PIP_").lower().replace("_", "-")] = value
    names = {
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
    settings = {uv: pip[key] for key, uv in names.items() if pip.get(key) and uv not in os.environ}
    if "UV_FIND_LINKS" in settings:  # pip separates the values with spaces, uv with commas.
        settings["UV_FIND_LINKS"] = ",".join(settings["UV_FIND_LINKS"].split())
    # Like pip, choose the best version from all indexes. Only packages with a locked hash can be installed.
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_LINK_MODE": "copy", **settings}


# --- commands and messages -----------------------------------------------------------------------------


def _run(*command: object) -> None:
    code = subprocess.call([str(part) for part in command], cwd=ROOT)
    if code:
        sys.exit(f"failed: {' '.join(map(str, command))}")


def _capture(
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


def _say(message: str) -> None:
    print(message, flush=True)


if __name__ == "__main__":
    main()
