"""Open many alerts while most channels are broken and workers are killed. A test and a benchmark use this scenario."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.server.serving import Serving, name
from tests.servers.fake_http import Answer, FakeHTTP, Received
from tests.servers.mail import MailServer
from tests.servers.portal import ROOT, Portal

CRITICAL_EVERY = 10
BROKEN = {"hanging": "hang", "failing": "500", "revoked": "410", "limited": "429"}
HEALTHY = ("healthy", "email")
RATE_LIMIT_SECONDS = 5


class Provider:
    """A webhook receiver. Depending on `mode`, it accepts and stores messages, refuses them, or does not respond."""

    def __init__(self, mode: str = "") -> None:
        self.mode = mode
        # Key, kind and title of each message, and its arrival time in seconds since the epoch.
        self.accepted: list[tuple[str, str, str, float]] = []
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
    at: float  # Seconds since the epoch.


@dataclass
class Scenario:
    portal: Portal
    mail: MailServer
    providers: dict[str, Provider]
    serving: Serving
    actions: subprocess.Popen[str]
    reported: list[Reported] = field(default_factory=list)

    def prepare(self, *, max_per_minute: int) -> None:
        """Add the channels, and wait until the delivery process runs."""
        urls = {name: f"{p.server.url}/hook" for name, p in self.providers.items()}
        self._act("add_channels", urls=urls, max_per_minute=max_per_minute)
        self.portal.wait_for(self._find_loops, what="the delivery process")

    def report_alerts(self, count: int, *, seconds: float, kills_at: tuple[int, ...] = ()) -> None:
        """Open `count` alerts within `seconds`.

        After each alert whose number is in `kills_at`, kill the delivery process; after the last of these alerts, kill
        all processes of the worker cluster.
        """
        arguments = {"critical_every": CRITICAL_EVERY, "pause_seconds": seconds / count}
        for number, line in enumerate(self._results("report", count=count, **arguments)):
            self.reported.append(Reported(*json.loads(line)))
            if number in kills_at:
                self._kill(is_whole_cluster=number == kills_at[-1])
        assert len(self.reported) == count

    def _kill(self, *, is_whole_cluster: bool) -> None:
        if is_whole_cluster:
            os.killpg(self.serving.child("opsportal tasks"), signal.SIGKILL)
        else:
            os.kill(self.portal.wait_for(self._find_loops, what="the process"), signal.SIGKILL)

    def _find_loops(self) -> int:
        """Return the id of the process that evaluates rules and delivers messages, or 0 if it is not running."""
        return next(
            (pid for pid in self.serving.descendants() if name(pid) == "opsportal loops"), 0
        )

    def wait_for_healthy_channels(self, seconds: float = 120) -> None:
        """Wait until all messages for the healthy channels have been delivered."""
        self.portal.wait_for(
            lambda: self._count_unfinished(*HEALTHY) == 0,
            seconds,
            "delivery to the healthy channels",
        )

    def repair(self, seconds: float = 180) -> None:
        """Repair all providers and channels, and wait until all messages have been delivered."""
        for provider in self.providers.values():
            provider.repair()
        self._act("repair")
        self.portal.wait_for(
            lambda: self._count_unfinished(*self.providers, "email") == 0, seconds, "the delivery"
        )

    def clear_alerts(self) -> None:
        self._act("clear", count=len(self.reported))
        self.portal.wait_for(
            lambda: self._count_unfinished(*self.providers, "email") == 0, 180, "the resolutions"
        )

    def _act(self, action: str, **arguments: object) -> None:
        for _ in self._results(action, **arguments):
            pass

    def _results(self, action: str, **arguments: object) -> Iterator[str]:
        assert self.actions.stdin is not None
        assert self.actions.stdout is not None
        self.actions.stdin.write(json.dumps([action, arguments]) + "\n")
        self.actions.stdin.flush()
        while (line := self.actions.stdout.readline().strip()) != "done":
            assert line, f"the action {action} failed"
            yield line

    def _count_unfinished(self, *channels: str) -> int:
        marks = ", ".join(["%s"] * len(channels))
        count: int = self.portal.value(
            "SELECT count(*) FROM alerts_notification n JOIN alerts_channel c ON c.id = n.channel_id"
            f" WHERE n.state IN ('waiting', 'sending', 'failed') AND c.name IN ({marks})",
            channels,
        )
        return count

    # --- what was received --------------------------------------------------------------------------

    def received(self, channel: str) -> list[tuple[str, str, str, float]]:
        """Return the key, kind, title and arrival time of every message that the channel accepted."""
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
        """Return the titles of the reported alerts that the channel announced in messages of their own."""
        known = {alert.title for alert in self.reported}
        return known & set(self.titles(channel, "triggered"))

    def grouped(self, channel: str) -> set[str]:
        """Return the titles of the reported alerts that the channel's storm messages include in their counts."""
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
        """Wait for a storm message about at least `count` alerts.

        The message may count one more alert, because a failing health check may also open one.
        """
        self.portal.wait_for(
            lambda: any(
                int(found.group(1)) >= count
                for title in self.titles(channel, "storm")
                if (found := re.search(r": (\d+) alert", title))
            ),
            what=f"a storm message of {channel} about {count} alerts",
        )

    def interrupted_keys(self) -> set[str]:
        """Return the idempotency keys of the messages with an attempt whose result was never recorded."""
        return {
            key
            for (key,) in self.portal.rows(
                "SELECT n.idempotency_key FROM alerts_notification n WHERE n.attempt_count >"
                " (SELECT count(*) FROM alerts_deliveryattempt a WHERE a.notification_id = n.id)"
            )
        }


@contextmanager
def scenario(
    portal: Portal,
    mail: MailServer,
    *,
    max_per_minute: int,
    manage: Sequence[str] = ("manage.py",),
) -> Iterator[Scenario]:
    """Prepare and yield the scenario. The portal must have the settings that `environment(mail)` returns."""
    providers = {"healthy": Provider(), **{name: Provider(mode) for name, mode in BROKEN.items()}}
    actions = subprocess.Popen(
        [sys.executable, "-m", "tests.alerts.outage_actions"],
        env=portal.environment,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    serving = Serving(portal, "--no-web", manage=manage)
    try:
        prepared = Scenario(portal, mail, providers, serving, actions)
        prepared.prepare(max_per_minute=max_per_minute)
        yield prepared
    finally:
        actions.kill()
        actions.communicate()
        serving.stop()
        for provider in providers.values():
            provider.close()


def environment(mail: MailServer) -> dict[str, str]:
    return {
        "ALLOW_PRIVATE_URLS": "127.0.0.1",
        "ALERT_EMAILS": "ops@shop.example",
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": str(mail.port),
    }
