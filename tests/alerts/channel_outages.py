"""The scenario of many alerts while most channels are broken and workers are killed. A test and a benchmark run it."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.servers import process
from tests.servers.fake_http import Answer, FakeHTTP, Received
from tests.servers.mail import MailServer
from tests.servers.portal import ROOT, Portal

ALERT_COUNT = 200
CRITICAL_EVERY = 10
BROKEN = {"hanging": "hang", "failing": "500", "revoked": "410", "limited": "429"}
HEALTHY = ("healthy", "email")
RATE_LIMIT_SECONDS = 5

ADD_CHANNELS = """
import json, sys
from alerts.models import Channel
Channel.objects.exclude(name="email").delete()
Channel.objects.filter(name="email").update(gets_every_type=True)
for name, url in json.loads({urls!r}).items():
    Channel.objects.create(name=name, kind="webhook", gets_every_type=True, config={{"url": url, "secret": "s"}})
"""
REPORT = """
import json, time
from django.utils import timezone
from alerts import services
from alerts.extension_points import Severity
for number in range({count}):
    is_critical = number % {critical_every} == 0
    services.report_problem(
        key=f"problem-{{number}}", alert_type="high-error-rate", message="It is broken.", source="tests",
        title=f"Problem {{number:03}}", severity=Severity.CRITICAL if is_critical else Severity.HIGH,
        now=timezone.now(),
    )
    print(json.dumps([f"Problem {{number:03}}", is_critical, time.time()]), flush=True)
    time.sleep({pause})
"""
CLEAR = """
from django.utils import timezone
from alerts import services
for number in range({count}):
    services.clear_problem(key=f"problem-{{number}}", now=timezone.now())
"""
REPAIR = """
from django.utils import timezone
from alerts import services
from alerts.models import Channel
services.enable_channel(Channel.objects.get(name="revoked"), now=timezone.now())
Channel.objects.exclude(retry_at=None).update(retry_at=timezone.now())
"""


class Provider:
    """A webhook receiver that works, hangs or refuses, and keeps what it accepted."""

    def __init__(self, mode: str = "") -> None:
        self.mode = mode
        self.accepted: list[tuple[str, str, str, float]] = []  # key, kind, title, time.time()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self.server = FakeHTTP()
        self.server.respond_with(self._answer)

    def _answer(self, request: Received) -> Answer:
        match self.mode:
            case "hang":
                self._closing.wait(60)
                return Answer(hang_up="after")
            case "429":
                return Answer(429, headers={"Retry-After": str(RATE_LIMIT_SECONDS)})
            case "500" | "410":
                return Answer(int(self.mode))
        body = request.json()
        with self._lock:
            self.accepted.append((body["id"], body["kind"], body["title"], time.time()))
        return Answer(200, b"ok")

    def repair(self) -> None:
        self.mode = ""
        self._closing.set()

    def close(self) -> None:
        self._closing.set()
        self.server.close()


@dataclass
class Reported:
    title: str
    is_critical: bool
    at: float  # time.time()


@dataclass
class Scenario:
    portal: Portal
    mail: MailServer
    providers: dict[str, Provider]
    reported: list[Reported] = field(default_factory=list)

    def prepare(self) -> None:
        """Add the channels and start the workers."""
        urls = {name: f"{p.server.url}/hook" for name, p in self.providers.items()}
        self._shell(ADD_CHANNELS.format(urls=json.dumps(urls)))
        self.portal.start_worker()
        self.portal.wait_for(lambda: self.portal.find_workers("loops"), what="the workers")

    def report_alerts(self, *, seconds: float, kills_at: tuple[int, ...] = ()) -> None:
        """Open all alerts within this time. After each of the given numbers, kill a process or all of them."""
        code = REPORT.format(
            count=ALERT_COUNT, critical_every=CRITICAL_EVERY, pause=seconds / ALERT_COUNT
        )
        with subprocess.Popen(
            [sys.executable, "manage.py", "shell", "-v0", "-c", code],
            env=self.portal.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as reporting:
            assert reporting.stdout is not None
            for number, line in enumerate(reporting.stdout):
                self.reported.append(Reported(*json.loads(line)))
                if number in kills_at:
                    self._kill(is_whole_cluster=number == kills_at[-1])
        assert len(self.reported) == ALERT_COUNT

    def _kill(self, *, is_whole_cluster: bool) -> None:
        if is_whole_cluster:
            self.portal.kill_worker()
            self.portal.start_worker()
            return
        for pid in self.portal.find_workers("loops"):
            os.kill(pid, signal.SIGKILL)

    def wait_for_healthy_channels(self, seconds: float = 120) -> None:
        """Wait until the channels that work have nothing to send."""
        self.portal.wait_for(
            lambda: self._count_unfinished(*HEALTHY) == 0,
            seconds,
            "delivery to the healthy channels",
        )

    def repair(self, seconds: float = 180) -> None:
        """Repair all providers and channels, and wait until nothing is left to send."""
        for provider in self.providers.values():
            provider.repair()
        self._shell(REPAIR)
        self.portal.wait_for(
            lambda: self._count_unfinished(*self.providers, "email") == 0, seconds, "the delivery"
        )

    def clear_alerts(self) -> None:
        self._shell(CLEAR.format(count=ALERT_COUNT))
        self.portal.wait_for(
            lambda: self._count_unfinished(*self.providers, "email") == 0, 180, "the resolutions"
        )

    def _count_unfinished(self, *channels: str) -> int:
        marks = ", ".join(["%s"] * len(channels))
        count: int = self.portal.value(
            "SELECT count(*) FROM alerts_notification n JOIN alerts_channel c ON c.id = n.channel_id"
            f" WHERE n.state IN ('waiting', 'sending', 'failed') AND c.name IN ({marks})",
            channels,
        )
        return count

    def _shell(self, code: str) -> None:
        done = self.portal.manage("shell", "-v0", "-c", code)
        assert done.returncode == 0, done.stderr

    # --- what was received --------------------------------------------------------------------------

    def received(self, channel: str) -> list[tuple[str, str, str, float]]:
        """Return key, kind, title and time of every message that the channel accepted."""
        if channel != "email":
            return list(self.providers[channel].accepted)
        found = []
        for mail, at in zip(self.mail.mails, self.mail.arrived_at, strict=True):
            subject = str(mail["Subject"])
            kind = "resolved" if subject.startswith("[resolved]") else "triggered"
            if "Alert storm" in subject:
                kind = "storm"
            found.append((str(mail["Message-ID"]), kind, subject.partition("] ")[2], at))
        return found

    def titles(self, channel: str, kind: str) -> list[str]:
        return [title for _, one, title, _ in self.received(channel) if one == kind]

    def announced(self, channel: str) -> set[str]:
        """Return the titles of the reported alerts that the channel got a message of their own about."""
        known = {alert.title for alert in self.reported}
        return known & set(self.titles(channel, "triggered"))

    def grouped(self, channel: str) -> set[str]:
        """Return the titles of the reported alerts that a storm message of the channel counts."""
        return {
            f"Problem {key.removeprefix('problem-'):0>3}"
            for (key,) in self.portal.rows(
                "SELECT a.key FROM alerts_notification n JOIN alerts_channel c ON c.id = n.channel_id"
                " JOIN alerts_systemalert a ON a.id = n.alert_id"
                " WHERE n.state = 'grouped' AND a.source = 'tests' AND c.name = %s",
                (channel,),
            )
        }

    def wait_for_storm_message(self, channel: str, count: int) -> None:
        """Wait for the storm message that counts at least so many alerts: health may report one more."""
        self.portal.wait_for(
            lambda: any(
                int(found.group(1)) >= count
                for title in self.titles(channel, "storm")
                if (found := re.search(r": (\d+) alert", title))
            ),
            what=f"a storm message of {channel} about {count} alerts",
        )

    def interrupted_keys(self) -> set[str]:
        """Return the keys of messages with an attempt of which no result was recorded."""
        return {
            key
            for (key,) in self.portal.rows(
                "SELECT n.idempotency_key FROM alerts_notification n WHERE n.attempt_count >"
                " (SELECT count(*) FROM alerts_deliveryattempt a WHERE a.notification_id = n.id)"
            )
        }


@contextmanager
def scenario(portal: Portal, mail: MailServer) -> Iterator[Scenario]:
    """Prepare the scenario. The portal needs `environment(mail)`."""
    providers = {"healthy": Provider(), **{name: Provider(mode) for name, mode in BROKEN.items()}}
    try:
        prepared = Scenario(portal, mail, providers)
        prepared.prepare()
        yield prepared
    finally:
        if portal.worker:
            process.kill_group(portal.worker)
        for provider in providers.values():
            provider.close()


def environment(mail: MailServer) -> dict[str, str]:
    return {
        "ALLOW_PRIVATE_URLS": "127.0.0.1",
        "ALERT_EMAILS": "ops@shop.example",
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": str(mail.port),
    }
