"""Test that unmodified sentry-cli and bundler plugins upload source maps, and that errors show the original code."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.sdks.conftest import PROGRAMS
from tests.servers.fake_http import Answer, FakeHTTP, Received
from tests.servers.portal import Portal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def portal(module_portal: Portal) -> Portal:
    """Start one portal with a worker for all tests, each of which uploads and reports its own files."""
    module_portal.start_worker()
    return module_portal


@pytest.fixture
def project(tmp_path: Path, npm_folder: Path) -> Path:
    """Return a copy of a web page's project with the bundlers and plugins installed."""
    folder = tmp_path / "project"
    shutil.copytree(PROGRAMS / "source_maps", folder)
    (folder / "node_modules").symlink_to(npm_folder / "node_modules")
    return folder


@pytest.fixture
def visit(fake_http: Callable[[], FakeHTTP], project: Path, page: Page) -> Callable[[Portal], str]:
    """Return a function that opens the built page in the browser and returns the id of the page's event."""

    def open_page(portal: Portal) -> str:
        site = fake_http()

        def serve(request: Received) -> Answer:
            if request.path == "/":
                html = b'<!doctype html><title>Shop</title><script src="/static/app.js"></script>'
                return Answer(200, html, {"Content-Type": "text/html; charset=utf-8"})
            if request.path == "/static/app.js":
                script = (project / "out" / "app.js").read_bytes()
                return Answer(200, script, {"Content-Type": "text/javascript; charset=utf-8"})
            return Answer(204)

        site.respond_with(serve)
        page.goto(f"{site.url}/?dsn={portal.dsn}")
        page.wait_for_function("window.sent !== undefined")
        assert page.evaluate("window.sent") is True
        return str(page.evaluate("window.eventId"))

    return open_page


def run(command: list[str], folder: Path, portal: Portal, *, token: str) -> str:
    """Run a program in the environment that a CI job has, and return its output."""
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "SENTRY_URL": portal.base_url,
            "SENTRY_ORG": "acme",
            "SENTRY_PROJECT": "shop",
            "GIT_CONFIG_GLOBAL": os.devnull,
            **({"SENTRY_AUTH_TOKEN": token} if token else {}),
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def cli_of(npm_folder: Path) -> str:
    return str(npm_folder / "node_modules/@sentry/cli-linux-x64/bin/sentry-cli")


def wait_until_resolved(portal: Portal, event_id: str) -> str:
    """Wait until the frames of the event are resolved, and return the path of its page."""
    [(group_id, pk)] = portal.wait_for(
        lambda: portal.rows(
            "SELECT e.group_id, e.id FROM errors_errorevent e JOIN errors_resolvedevent r ON r.event_id = e.id"
            " WHERE r.stack_id IS NOT NULL AND e.event_id = %s",
            (event_id,),
        ),
        what="the resolved frames",
    )
    return f"/admin/errors/{group_id}/events/{pk}/"


def assert_shows_original_code(portal: Portal, path: str) -> None:
    html = portal.client.get(path, headers=portal.staff).text
    assert "src/cart.js" in html
    line = r'code__line--current">\s*<span class="code__number">(\d+)</span><span>(.*?)</span>'
    found = re.search(line, html)
    assert found
    assert found.groups() == ("2", "  const price = item.offer.price;")
    minified = portal.client.get(f"{path}?frames=minified", headers=portal.staff).text
    assert "app.js" in minified
    assert "const price = item.offer.price;" not in minified


@pytest.mark.parametrize("bundler", ["esbuild", "vite", "webpack"])
def test_a_bundler_plugin_uploads_and_the_error_shows_the_original_code(
    bundler: str, portal: Portal, project: Path, visit: Callable[[Portal], str]
) -> None:
    run(["node", "build.mjs", bundler, "out"], project, portal, token=portal.api_key)

    event_id = visit(portal)

    assert_shows_original_code(portal, wait_until_resolved(portal, event_id))


def test_source_maps_that_arrive_after_the_event_resolve_it(
    portal: Portal, project: Path, npm_folder: Path, visit: Callable[[Portal], str]
) -> None:
    run(["node", "build.mjs", "esbuild", "out"], project, portal, token="")
    run([cli_of(npm_folder), "sourcemaps", "inject", "out"], project, portal, token=portal.api_key)
    event_id = visit(portal)

    run([cli_of(npm_folder), "sourcemaps", "upload", "out"], project, portal, token=portal.api_key)

    assert_shows_original_code(portal, wait_until_resolved(portal, event_id))


def test_sentry_cli_manages_releases(portal: Portal, tmp_path: Path, npm_folder: Path) -> None:
    def cli(*arguments: str) -> str:
        return run([cli_of(npm_folder), *arguments], tmp_path, portal, token=portal.api_key)

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=Ann Lee", "-c", "user.email=ann@example.org"]
        run(["git", *who, *arguments], tmp_path, portal, token="")

    git("init", "-q")
    for number in (1, 2):
        (tmp_path / "cart.js").write_text(f"let total = {number};\n")
        git("add", "cart.js")
        git("commit", "-q", "-m", f"cart: change {number}")

    cli("releases", "new", "shop@2.0.0")
    cli("releases", "set-commits", "shop@2.0.0", "--local")
    cli("releases", "finalize", "shop@2.0.0")
    cli("deploys", "new", "--release", "shop@2.0.0", "-e", "production", "-n", "blue")

    assert "shop@2.0.0" in cli("releases", "list")
    assert "production" in cli("deploys", "list", "--release", "shop@2.0.0")
    [(released_at,)] = portal.rows("SELECT released_at FROM releases_release")
    assert released_at
    messages = portal.rows("SELECT message FROM releases_commit ORDER BY position")
    assert [message.strip() for (message,) in messages] == ["cart: change 2", "cart: change 1"]
    assert portal.rows("SELECT path FROM releases_commitfile") == [("cart.js",), ("cart.js",)]
    assert portal.rows("SELECT author FROM releases_commit") == [("Ann Lee",), ("Ann Lee",)]

    cli("releases", "delete", "shop@2.0.0")
    assert portal.rows("SELECT 1 FROM releases_release") == []


def test_a_key_of_another_app_is_refused_with_the_reason(
    portal: Portal, project: Path, npm_folder: Path
) -> None:
    (project / "out").mkdir()
    (project / "out" / "app.js").write_text("let a = 1;")
    upload = [cli_of(npm_folder), "sourcemaps", "upload", "-p", "blog", "out"]

    with pytest.raises(AssertionError, match="The project blog does not exist"):
        run(upload, project, portal, token=portal.api_key)
