"""Provide the fixtures that tests of all folders use. The servers that they start are in tests/servers/."""

import fcntl
import json
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.core.cache import caches
from django.db import connection
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from core.lib import ratelimit
from tests import described
from tests import settings as test_settings
from tests.browser.support import Watch
from tests.servers import chromium, process
from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer
from tests.servers.portal import Portal, Seeded, Template, make_template
from tests.servers.postgres import PostgresServer
from tests.servers.redis_server import RedisServer

# Do not fail a test whose examples are generated slowly, because the duration depends on the load of the machine.
hypothesis_settings.register_profile("shared", suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("shared")

# Messages about tests that did not run, each with the reason.
LEFT_OUT = pytest.StashKey[list[str]]()
_skipped: list[str] = []

# These fixtures start a portal, a database server or another server.
SERVER_FIXTURES = {
    *("portal", "make_portal", "module_portal", "portal_template", "portal_with_worker"),
    *("postgres", "redis_server", "live_server", "stripe_server"),
}
KINDS = ("servers", "browser", "slow")  # A test without any of these markers is marked as fast.

# Tests skipped for a reason that begins with one of these strings run on the other database. All other skipped tests
# are reported, and fail the run in CI.
RUNS_ELSEWHERE = ("part of the ", "runs in the ", "runs only on ")


# --- the session: the right servers, and nothing left out silently -----------------------------------


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEFT_OUT] = []


def pytest_sessionstart(session: pytest.Session) -> None:
    """Fail unless the settings match EXPECT_DB and EXPECT_REDIS, which `make test` sets."""
    expected = os.environ.get("EXPECT_DB")
    if expected and connection.vendor != expected:
        pytest.exit(f"expected {expected}, but the database is {connection.vendor}", 3)
    if "EXPECT_REDIS" in os.environ:
        wanted = os.environ["EXPECT_REDIS"] == "1"
        if wanted != bool(settings.REDIS_URL):
            pytest.exit(f"EXPECT_REDIS={int(wanted)}, but REDIS_URL is {settings.REDIS_URL!r}", 3)
        if wanted:
            caches["default"].set("session-start", "seen")
            if caches["default"].get("session-start") != "seen":
                pytest.exit(f"no Redis answers at {settings.REDIS_URL}", 3)


# Run this hook before pytest's own hook, which evaluates `-m` with the markers added here.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None]:
    """Mark each test by its requirements. Without a browser, deselect browser tests and name them at the end."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if "browser" in fixtures:
            item.add_marker(pytest.mark.browser)
        if fixtures & SERVER_FIXTURES:
            item.add_marker(pytest.mark.servers)
        if not any(item.get_closest_marker(kind) for kind in KINDS):
            item.add_marker(pytest.mark.fast)
    needing = [item for item in items if item.get_closest_marker("browser")]
    if needing and chromium.find() is None:
        for item in needing:
            items.remove(item)
        config.hook.pytest_deselected(items=needing)
        config.stash[LEFT_OUT].append(
            f"{len(needing)} browser tests did not run: {chromium.HOW_TO_GET_ONE}"
        )
    yield
    # Run browser tests last: from the first one on, playwright's event loop runs in the thread of the tests, where
    # asyncio tests could then start none. Each xdist worker keeps this order.
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def left_out(config: pytest.Config, sentence: str) -> None:
    """Add a sentence about tests that did not run to the report at the end. With CI=true, it fails the run."""
    if sentence not in config.stash[LEFT_OUT]:
        config.stash[LEFT_OUT].append(sentence)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Record each skipped test that does not run on the other database either, for the report at the end."""
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(RUNS_ELSEWHERE):
            _skipped.append(f"{report.nodeid} did not run: {reason}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    """Copy the sentences about tests that did not run from an xdist worker to the controller."""
    output = getattr(node, "workeroutput", {})
    for sentence in output.get("left_out", []):
        left_out(node.config, sentence)  # type: ignore[attr-defined]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    for sentence in _skipped:
        left_out(session.config, sentence)
    sentences = session.config.stash[LEFT_OUT]
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = sentences
    elif sentences and os.environ.get("CI") == "true" and session.exitstatus == 0:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    sentences = terminalreporter.config.stash[LEFT_OUT]
    for sentence in sentences:
        terminalreporter.write_line(f"NOT RUN: {sentence}", yellow=True, bold=True)
    if sentences and os.environ.get("CI") == "true":
        terminalreporter.write_line("with CI=true that is a failure", red=True)


@pytest.fixture(scope="session", autouse=True)
def the_api_answers_as_described() -> None:
    described.watch_test_client()


def pytest_unconfigure(config: pytest.Config) -> None:
    process.remove(test_settings.TEST_DIR)


@pytest.fixture(autouse=True)
def empty_caches() -> None:
    """Empty all caches, so that no test sees cached values or rate-limit counts of another test."""
    for cache in caches.all(initialized_only=True):
        cache.clear()
    ratelimit.memory.clear()


@pytest.fixture(autouse=True)
def no_render_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lift the health page's render budget, because on a busy machine some widgets would exceed it and load later."""
    monkeypatch.setattr("health.views.system_health.RENDER_BUDGET_SECONDS", float("inf"))


# --- the database ------------------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def test_database_can_be_dropped(request: pytest.FixtureRequest) -> Iterator[None]:
    """Close open connections before the test database is dropped, because PostgreSQL drops no database in use."""
    request.getfixturevalue("django_db_setup")
    yield
    # If no test has used the database, it does not exist and cannot be queried for its connections.
    was_made = str(connection.settings_dict["NAME"]).startswith("test_")
    if connection.vendor == "postgresql" and was_made:
        blocker = request.getfixturevalue("django_db_blocker")
        with blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


# --- outside services, on loopback -------------------------------------------------------------------


@pytest.fixture
def fake_http() -> Iterator[Callable[[], FakeHTTP]]:
    """Return a function that starts and returns a new scriptable HTTP server, which is stopped after the test."""
    made: list[FakeHTTP] = []

    def make() -> FakeHTTP:
        made.append(FakeHTTP())
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def fake(fake_http: Callable[[], FakeHTTP]) -> FakeHTTP:
    """Start one scriptable HTTP server."""
    return fake_http()


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    server = MailServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Start a real PostgreSQL server for the whole run, even if the suite itself runs on SQLite."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """Start a real Redis server for one test, which may kill the server and start it again."""
    server = RedisServer()
    yield server
    server.stop()


# --- the portal as it really runs ----------------------------------------------------------------------


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def portal_template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Migrate and seed the template database once per run, in the first xdist worker that needs it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    url = settings.DATABASE_URL if connection.vendor == "postgresql" else ""
    maintenance = url.rsplit("/", 1)[0] + "/postgres" if url else ""
    with _locked(shared / "portal-template.lock"):
        note, folder = shared / "portal-template.json", shared / "portal-template"
        if note.exists():
            known = json.loads(note.read_text())
            return Template(folder, known["postgres_url"], Seeded(**known["seeded"]))
        folder.mkdir()
        template = make_template(folder, maintenance)
        note.write_text(
            json.dumps({"postgres_url": template.postgres_url, "seeded": vars(template.seeded)})
        )
        return template


def _portal_redis() -> str:
    """Return the URL of the Redis database after the test process's own, or "" without Redis."""
    if not settings.REDIS_URL:
        return ""
    base, number = settings.REDIS_URL.rsplit("/", 1)
    return f"{base}/{int(number) + 1}"


@pytest.fixture
def make_portal(
    portal_template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Portal]]:
    """Return a function that creates portals without starting them: `make_portal(EMAIL_HOST="127.0.0.1")`."""
    made: list[Portal] = []

    def make(**environment: str) -> Portal:
        made.append(
            Portal(
                portal_template,
                tmp_path_factory.mktemp("portal"),
                redis_url=_portal_redis(),
                environment=environment,
            )
        )
        return made[-1]

    yield make
    for portal in made:
        portal.stop()


@pytest.fixture
def portal(make_portal: Callable[..., Portal]) -> Portal:
    """Start a real portal on loopback, with its own database, an app with keys, and a staff session."""
    portal = make_portal()
    portal.start()
    return portal


@pytest.fixture
def portal_with_worker(portal: Portal) -> Portal:
    """Start a real portal together with its worker cluster."""
    portal.start_worker()
    return portal


@pytest.fixture(scope="module")
def module_portal(
    portal_template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Portal]:
    """Start one real portal for all tests of a file. The tests must not depend on each other's data."""
    portal = Portal(portal_template, tmp_path_factory.mktemp("portal"), redis_url=_portal_redis())
    portal.start()
    yield portal
    portal.stop()


# --- a real browser -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start a headless Chromium. Playwright provides only the protocol; the browser is installed separately."""
    path = chromium.find()
    assert path, chromium.HOW_TO_GET_ONE
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=chromium.arguments())
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, timezone_id="UTC", locale="en-US"
    )
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def watch(context: BrowserContext) -> Iterator[Watch]:
    """Fail the test if a page has errors, except those that the test expects with `watch.allow(pattern)`."""
    watch = Watch(context)
    yield watch
    watch.verify()


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Page:
    """Open a page that can reach only loopback and whose errors fail the test."""
    return context.new_page()


@pytest.fixture
def staff_page(portal: Portal, context: BrowserContext, page: Page) -> Page:
    """Open a page that is signed in to `portal` as its owner: `staff_page.goto(portal.base_url + "/admin/")`."""
    context.add_cookies(
        [{"name": "sessionid", "value": portal.seeded.session, "url": portal.base_url}]
    )
    return page
