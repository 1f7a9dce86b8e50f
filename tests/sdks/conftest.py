"""Run unmodified official SDKs as users do, with only the DSN of a test portal in place of a real one."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import tool_folders
from tests.servers.fake_http import Answer, FakeHTTP, Received

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
CACHE = HERE.parent.parent / ".cache" / "sdks"
# Maps a fixture to the programs that its tests need, a name for these tests, and installation instructions.
OTHER_LANGUAGES = {
    "npm_folder": (("node", "npm"), "JavaScript SDK", "install Node.js 18 or newer with npm"),
    "php": (("php",), "PHP", "install php-cli"),
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests whose programming language is not installed, and name them at the end of the run."""
    from tests.conftest import left_out

    for fixture, (programs, name, install_hint) in OTHER_LANGUAGES.items():
        needing = [item for item in items if fixture in getattr(item, "fixturenames", ())]
        if needing and not all(map(shutil.which, programs)):
            for item in needing:
                items.remove(item)
            config.hook.pytest_deselected(items=needing)
            left_out(config, f"{len(needing)} {name} tests did not run: {install_hint}")


@pytest.fixture
def php() -> str:
    """Return "php". Tests that use this fixture are deselected if PHP is not installed."""
    return "php"


@pytest.fixture(scope="session")
def npm_folder() -> Path:
    """Return a folder with the JavaScript SDKs in node_modules, installed once from package-lock.json."""
    return tool_folders.npm_folder(HERE, cache="sdks")


def run_program(command: list[str], **environment: str) -> dict[str, str]:
    """Run a program that prints lines `name id`, and return the ids by name."""
    completed = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert completed.returncode == 0, completed.stderr
    lines = [line.split() for line in completed.stdout.splitlines() if line.count(" ") == 1]
    return dict(lines)


@pytest.fixture
def run_python() -> Callable[..., dict[str, str]]:
    def run(program: str, *arguments: str, **environment: str) -> dict[str, str]:
        return run_program([sys.executable, str(PROGRAMS / program), *arguments], **environment)

    return run


@pytest.fixture
def run_node(npm_folder: Path) -> Callable[..., dict[str, str]]:
    def run(program: str, *arguments: str) -> dict[str, str]:
        return run_program(
            ["node", str(PROGRAMS / program), *arguments],
            NODE_PATH=str(npm_folder / "node_modules"),
        )

    return run


@pytest.fixture(scope="session")
def bundles(npm_folder: Path) -> Path:
    """Return a folder with the browser programs, each bundled with its SDK as in production."""
    folder = npm_folder / "bundles"
    with (CACHE / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        for program in ("browser_sdk.js", "react_sdk.jsx"):
            source = PROGRAMS / program
            target = folder / f"{source.stem}.js"
            if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
                continue
            subprocess.run(
                [
                    *("node_modules/.bin/esbuild", str(source), "--bundle", "--log-level=error"),
                    *(f"--outfile={target}", '--define:process.env.NODE_ENV="production"'),
                ],
                cwd=npm_folder,
                check=True,
                capture_output=True,
                timeout=120,
                env={**os.environ, "NODE_PATH": str(npm_folder / "node_modules")},
            )
    return folder


@pytest.fixture
def shop_site(bundles: Path, fake_http: Callable[[], FakeHTTP]) -> FakeHTTP:
    """Serve a shop's web site, with pages such as `/browser_sdk.html?dsn=…`, on another origin than the portal's."""
    site = fake_http()

    def serve(request: Received) -> Answer:
        name, _, extension = request.path.removeprefix("/").rpartition(".")
        if extension == "html":
            page = f'<!doctype html><title>Shop</title><div id="root"></div><script src="/{name}.js"></script>'
            return Answer(200, page.encode(), {"Content-Type": "text/html"})
        if extension == "js":
            return Answer(
                200, (bundles / f"{name}.js").read_bytes(), {"Content-Type": "text/javascript"}
            )
        return Answer(204)

    site.respond_with(serve)
    return site
