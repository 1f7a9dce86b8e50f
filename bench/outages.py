"""A drill: the portal as it really runs (`manage.py serve`), and what it stands on is taken away, all while /health is asked.

    python -m bench.outages          about nine minutes

Stripe swallowed by a black hole, a function that takes 30 s, a URL that flaps, an expired certificate, then Redis, then
PostgreSQL. Each time: how long until the verdict, the page, the status page, the alert and the message say so, how long until
all of it is over, and how long /health took to answer meanwhile.
"""

import os
import socket
import ssl
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

import httpx  # noqa: E402
from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.x509.oid import NameOID  # noqa: E402

from tests.servers.fake_http import Answer, FakeHTTP, Received  # noqa: E402
from tests.servers.portal import Portal, make_template  # noqa: E402
from tests.servers.postgres import PostgresServer  # noqa: E402
from tests.servers.redis_server import RedisServer  # noqa: E402

WITHIN = 90.0  # seconds
MONITORS = """
from health.models import Monitor
for name, url in {urls!r}.items():
    Monitor.objects.create(kind="monitor", name=name, title=name.capitalize(), url=url, is_public=True, timeout_seconds=5)
from health.services import check_certificates
from django.utils import timezone
check_certificates(now=timezone.now())
"""


class Served(Portal):
    """Web and worker under the supervisor that people start."""

    def web_command(self) -> list[str]:
        return [sys.executable, "manage.py", "serve", "--port", str(self.port)]


class Asker(threading.Thread):
    """Asks /health ten times a second, on its own connection, and keeps how long each answer took."""

    def __init__(self, base_url: str) -> None:
        super().__init__(daemon=True)
        self.base_url, self.took, self.ended = base_url, [], False

    def run(self) -> None:
        with httpx.Client(base_url=self.base_url, timeout=10) as client:
            while not self.ended:
                began = time.perf_counter()
                client.get("/health")
                self.took.append((time.perf_counter() - began) * 1000)
                time.sleep(0.1)

    def report(self) -> str:
        took, self.took = sorted(self.took), []
        at = took[int(len(took) * 0.99)]
        return f"/health p50 {statistics.median(took):.0f} ms, p99 {at:.0f} ms, max {took[-1]:.0f} ms of {len(took)}"


@contextmanager
def black_hole(port: int) -> Iterator[None]:
    """A port whose connections are neither refused nor taken: its queue is full."""
    with socket.socket() as hole:
        hole.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hole.bind(("127.0.0.1", port))
        hole.listen(0)
        waiting = []
        for _ in range(3):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        yield
        for one in waiting:
            one.close()


def expired_https(folder: Path) -> int:
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]),
    )
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(key.public_key()).serial_number(1)
    certificate = (
        builder.not_valid_before(now - timedelta(days=90))
        .not_valid_after(now - timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = folder / "expired.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            raw, _ = listener.accept()
            try:
                context.wrap_socket(raw, server_side=True).close()
            except OSError:
                raw.close()

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


class Drill:
    def __init__(self, portal: Portal, slack: FakeHTTP) -> None:
        self.portal, self.slack = portal, slack
        self.asker = Asker(portal.base_url)
        self.problems: list[str] = []

    def until(self, what: str, condition: Callable[[], object], within: float = WITHIN) -> None:
        began = time.monotonic()
        while True:
            try:
                if condition():
                    break
            except (AssertionError, httpx.HTTPError):
                pass
            if time.monotonic() - began > within:
                self.problems.append(what)
                print(f"    NOT WITHIN {within:.0f} s: {what}", flush=True)
                return
            time.sleep(0.5)
        print(f"    {time.monotonic() - began:5.1f} s  {what}", flush=True)

    def check(self, name: str) -> str:
        answer = self.portal.client.get("/health", headers=self.portal.api).json()
        found = answer["checks"].get(name)
        return str(found["status"]) if found else "none"

    def verdict(self) -> tuple[int, str]:
        answer = self.portal.client.get("/health")
        return answer.status_code, answer.json()["status"]

    def page(self, text: str, address: str = "/status/") -> bool:
        return text in self.portal.client.get(address, headers=self.portal.staff).text

    def alert(self, key: str, state: str) -> bool:
        sql = "SELECT state FROM alerts_systemalert WHERE key = %s ORDER BY id DESC LIMIT 1"
        return bool(self.portal.value(sql, (key,)) == state)

    def told(self, text: str) -> int:
        return sum(text in request.body.decode() for request in self.slack.requests)

    def section(self, title: str) -> None:
        print(title, flush=True)

    def answers(self) -> None:
        print(f"    {self.asker.report()}", flush=True)


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("template", "data"):
            (folder / part).mkdir()
        postgres, redis = PostgresServer(), RedisServer()
        slack, stripe, shop, flapping, function = (FakeHTTP() for _ in range(5))
        slack.default.body = b"ok"
        turns = iter(range(10**6))
        flapping.respond_with(lambda _: Answer(500 if next(turns) % 2 else 200))
        is_slow = threading.Event()

        def slow(_: Received) -> Answer:
            return Answer(200, delay=30 if is_slow.is_set() else 0)

        function.respond_with(slow)
        portal = Served(
            make_template(folder / "template", postgres.url()),
            folder / "data",
            redis_url=redis.url(),
            environment={
                "SLACK_WEBHOOK_URL": f"{slack.url}/services/T/B/x",
                "ALLOW_PRIVATE_URLS": "127.0.0.1",
                "STRIPE_SECRET_KEY": "sk_test_drill",
                "STRIPE_API_BASE": stripe.url,
                "NETWORK_PROBES": "",
            },
        )
        try:
            portal.start()
            drill = Drill(portal, slack)
            run(drill, postgres, redis, stripe, is_slow, shop, flapping, function, folder)
        finally:
            postgres.kill()
            postgres.start()
            portal.stop()
            postgres.stop()
            redis.stop()
    print("missed: " + "; ".join(drill.problems) if drill.problems else "all of it within 90 s")
    return 1 if drill.problems else 0


def run(
    drill: Drill,
    postgres: PostgresServer,
    redis: RedisServer,
    stripe: FakeHTTP,
    is_slow: threading.Event,
    shop: FakeHTTP,
    flapping: FakeHTTP,
    function: FakeHTTP,
    folder: Path,
) -> None:
    portal = drill.portal
    urls = {"shop": shop.url, "flapping": flapping.url, "function": function.url}
    portal.manage("shell", "-v0", "-c", MONITORS.format(urls=urls))
    drill.section("started")
    drill.until("all is healthy", lambda: drill.verdict() == (200, "healthy"), 150)
    drill.asker.start()
    time.sleep(10)
    drill.answers()

    drill.section("Stripe in a black hole, a function that takes 30 s, an expired certificate")
    is_slow.set()
    stripe.refuse()
    with black_hole(int(stripe.url.rpartition(":")[2])):
        expired = {"till": f"https://127.0.0.1:{expired_https(folder)}"}
        portal.manage("shell", "-v0", "-c", MONITORS.format(urls=expired))
        for one in ("stripe", "function", "till"):
            drill.until(
                f"{one} is down in the JSON", lambda one=one: drill.check(one) == "unhealthy"
            )
            drill.until(
                f"{one} has its alert", lambda one=one: drill.alert(f"health:{one}", "open")
            )
        drill.until("the certificate is known as expired", lambda: drill.check("certificates") == "unhealthy")  # fmt: skip
        drill.until("degraded, and 200", lambda: drill.verdict() == (200, "degraded"))
        drill.until("the page names Stripe", lambda: drill.page("Stripe is down", "/admin/system-health/"))  # fmt: skip
        drill.until("the status page says so", lambda: drill.page("Some systems are degraded"))
        drill.until("Slack was told", lambda: all(drill.told(f"{x} is down") for x in ("Stripe", "Function", "Till")))  # fmt: skip
        drill.answers()
    drill.section("… and back")
    is_slow.clear()
    stripe.start()
    portal.rows("UPDATE health_component SET is_enabled = false WHERE name = 'till'")
    portal.rows("UPDATE health_monitor SET certificate_until = NULL WHERE url LIKE 'https:%%'")
    for one in ("stripe", "function"):
        drill.until(f"{one} works again", lambda one=one: drill.check(one) == "healthy")
        drill.until(f"{one}'s alert is over", lambda one=one: drill.alert(f"health:{one}", "resolved"))  # fmt: skip
    drill.until("healthy", lambda: drill.verdict() == (200, "healthy"))
    drill.until("Slack was told", lambda: drill.told("Resolved: Stripe is down") == 1)
    drill.answers()

    drill.section("Redis stopped")
    redis.kill()
    drill.until("the JSON says so", lambda: drill.check("cache") == "unhealthy")
    drill.until("degraded, and 200", lambda: drill.verdict() == (200, "degraded"))
    drill.until("it has its alert", lambda: drill.alert("health:cache", "open"))
    drill.until("the page names it", lambda: drill.page("Cache (Redis) is down", "/admin/system-health/"))  # fmt: skip
    # What the public uses works without it.
    drill.until("the status page stays calm", lambda: drill.page("All systems operational"), 1)
    drill.answers()
    redis.start()
    drill.until("back: healthy", lambda: drill.verdict() == (200, "healthy"))
    drill.until("its alert is over", lambda: drill.alert("health:cache", "resolved"))
    drill.answers()

    drill.section("PostgreSQL stopped")
    postgres.kill()
    drill.until("unhealthy, and 503", lambda: drill.verdict() == (503, "unhealthy"))
    drill.until("Slack was told directly", lambda: drill.told("database is down"))
    drill.until("the status page is honest", lambda: drill.page("Current status unavailable"))
    drill.until("the health page says so and does not hang", lambda: portal.client.get("/admin/system-health/", headers=portal.staff).status_code == 503)  # fmt: skip
    drill.answers()
    postgres.start()
    drill.until("back: healthy", lambda: drill.verdict() == (200, "healthy"))
    drill.until("the outage was written down", lambda: drill.alert("health:database", "resolved"))
    drill.until("the status page is live", lambda: not drill.page("Current status unavailable"))
    drill.answers()

    drill.section("nothing flapped")
    flaps = portal.value("SELECT count(*) FROM alerts_alertevent WHERE kind IN ('reopened', 'flapping')")  # fmt: skip
    drill.until(f"{flaps} reopened or flapping", lambda: flaps == 0, 1)
    kept = portal.value("SELECT count(*) FROM alerts_systemalert WHERE key IN ('health:flapping', 'health:shop')")  # fmt: skip
    drill.until("no alert of the URL that flaps, none of the one that works", lambda: kept == 0, 1)
    rows = portal.rows("SELECT key, state, occurrence_count, reopen_count FROM alerts_systemalert ORDER BY id")  # fmt: skip
    print("    " + "\n    ".join(map(str, rows)), flush=True)
    drill.asker.ended = True


if __name__ == "__main__":
    sys.exit(main())
