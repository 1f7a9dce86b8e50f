"""Deliver the whole outbox.

Each channel is independent: a slow or failing channel delays no other until MAX_SENDS is reached.
One thread uses the database: it claims due messages and records the results. Other threads only wait for providers. A
working channel has up to MAX_SENDS_PER_CHANNEL concurrent sends on each node. A failing channel has a single probe at a
time across all nodes. Critical messages go first.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections, transaction
from django.db.models import Q
from django.utils import timezone

from alerts.channels import TRANSPORTS, list_missing_settings
from alerts.models import (
    Channel,
    ChannelTest,
    DeliveryAttempt,
    Notification,
    NotificationState,
)
from alerts.services import channel_state, channel_tests, delivery, storms
from alerts.services.delivery import Claimed, DeliveryOutcome, Result
from core.lib import processes
from core.lib.continuous import Control

log = logging.getLogger(__name__)

MAX_SENDS_PER_CHANNEL = 4
# This limit applies to one node. It is reached only if 16 channels stop responding at the same time.
MAX_SENDS = 64
POLL_SECONDS = 0.2
DATABASE_RETRY_SECONDS = 2.0
HOUSEKEEPING_INTERVAL = timedelta(seconds=5)
MAX_STEPS = 500  # One call of `deliver_waiting` makes at most this many steps.
RATE_WINDOW = timedelta(minutes=1)
MAX_OUTDATED_PER_STEP = 500


class InlineExecutor(Executor):
    """An executor without threads. `submit` runs the call before it returns."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Dispatcher:
    """The sender of one process, which claims due messages, sends them in threads, and records the results.

    `owner` ("<machine>:<pid>") is stored with each claim. After a crash, the next process on this machine can therefore
    release the claims.
    """

    def __init__(self, executor: Executor, owner: str = "") -> None:
        self._executor = executor
        self._owner = owner
        self._sends: dict[Future[Result], Claimed] = {}
        self._tests: dict[Future[Result], ChannelTest] = {}
        self._housekeeping_at: datetime | None = None
        self.outcomes: Counter[str] = Counter()

    @property
    def futures(self) -> list[Future[Result]]:
        return [*self._sends, *self._tests]

    def release_own(self, *, now: datetime) -> None:
        """Requeue the notifications that this machine's former processes were sending when they ended."""
        machine = self._owner.rpartition(":")[0]
        claimed = Notification.objects.filter(
            state=NotificationState.SENDING, lease_owner__startswith=f"{machine}:"
        )
        for owner in sorted(set(claimed.values_list("lease_owner", flat=True))):
            if owner != self._owner and processes.is_running(int(owner.rpartition(":")[2])):
                continue
            with transaction.atomic():
                channel_ids = Notification.objects.release(owner, now=now)
                Channel.objects.filter(pk__in=channel_ids, retry_at__gt=now).update(retry_at=now)

    def step(self, *, now: datetime) -> int:
        """Record finished sends, do housekeeping if it is due, start due sends, and return the number of all sends."""
        recorded = self.record_finished(now=now)
        if self._housekeeping_at is None or now - self._housekeeping_at >= HOUSEKEEPING_INTERVAL:
            self._housekeeping_at = now
            self.fail_outdated(now=now)
            self.ensure_probes(now=now)
            storms.report_storms(now=now)
        started = 0
        for claimed in self._claim_due(now=now):
            self._sends[self._executor.submit(delivery.send, claimed)] = claimed
            started += 1
        for test in channel_tests.claim_waiting(now=now, limit=MAX_SENDS_PER_CHANNEL):
            sent = self._executor.submit(channel_tests.send, channel_tests.split(test))
            self._tests[sent] = test
            started += 1
        return recorded + started

    def record_finished(self, *, now: datetime) -> int:
        """Record finished sends, and return their number. If a result cannot be recorded, the next call tries again."""
        count = 0
        for future in [future for future in self._sends if future.done()]:
            outcome = delivery.record(self._sends[future], future.result(), now=now)
            del self._sends[future]
            self.outcomes[outcome.value] += 1
            count += 1
        for future in [future for future in self._tests if future.done()]:
            channel_tests.record(self._tests[future], future.result(), now=now)
            del self._tests[future]
            count += 1
        return count

    def fail_outdated(self, *, now: datetime) -> None:
        outdated = Notification.objects.due(now).outdated(now).select_related("channel", "alert")
        for notification in outdated.order_by("pk")[:MAX_OUTDATED_PER_STEP]:
            outcome = delivery.fail(
                notification, "its deadline passed before it could be sent", now=now
            )
            self.outcomes[outcome.value] += 1

    def ensure_probes(self, *, now: datetime) -> None:
        """Requeue a failed message for each failing channel that has no due message, so that the channel is probed."""
        failing = Channel.objects.enabled().filter(retry_at__lte=now)
        for channel in failing:
            if not Notification.objects.due(now).filter(channel=channel).exists():
                channel_state.retry_oldest_failed(channel, now=now)

    def _claim_due(self, *, now: datetime) -> list[Claimed]:
        picked: list[int] = []
        probes: dict[int, Channel] = {}
        for channel in self._find_ready_channels(now):
            if channel.retry_at is None:
                picked += self._pick(channel, now)
            elif channel_state.claim_probe(channel, now=now):
                found = self._pick(channel, now)
                if found:
                    picked += found
                    probes[found[0]] = channel
                else:
                    channel_state.abandon_probe(channel, now=now)
        if not picked:
            return []
        claims: list[Claimed] = []
        with transaction.atomic():
            for pk in sorted(picked):  # The sorted order prevents deadlocks between nodes.
                claimed = delivery.claim(pk, now=now, owner=self._owner, is_probe=pk in probes)
                if isinstance(claimed, Claimed):
                    claims.append(claimed)
                    continue
                if claimed is not DeliveryOutcome.NOT_DUE:
                    self.outcomes[claimed.value] += 1
                if pk in probes:
                    channel_state.abandon_probe(probes[pk], now=now)
        return sorted(claims, key=lambda claimed: not claimed.notification.is_critical)

    def _find_ready_channels(self, now: datetime) -> list[Channel]:
        """Return the channels that have a due message and may send it now."""
        is_ready = Q(retry_at=None) | Q(retry_at__lte=now)
        ready = {
            channel.pk: channel
            for channel in Channel.objects.enabled().filter(is_ready, kind__in=list(TRANSPORTS))
        }
        if not ready:
            return []
        due = Notification.objects.due(now).filter(channel__in=list(ready))
        return [
            ready[pk]
            for pk in sorted(set(due.values_list("channel_id", flat=True).distinct()))
            if self._free_slots(ready[pk]) > 0 and not list_missing_settings(ready[pk])
        ]

    def _in_flight(self, channel: Channel) -> int:
        return sum(
            claimed.notification.channel_id == channel.pk for claimed in self._sends.values()
        )

    def _free_slots(self, channel: Channel) -> int:
        limit = 1 if channel.retry_at else MAX_SENDS_PER_CHANNEL
        return min(limit - self._in_flight(channel), MAX_SENDS - len(self._sends))

    def _pick(self, channel: Channel, now: datetime) -> list[int]:
        """Return the ids of the messages to send next: critical messages, and other messages within the rate limit."""
        free = self._free_slots(channel)
        if free <= 0 or not channel.max_per_minute:
            return []
        order = ("attempt_count", "pk") if channel.retry_at else ("pk",)
        due = Notification.objects.due(now).filter(channel=channel).order_by(*order)
        critical = list(due.filter(is_critical=True).values_list("pk", flat=True)[:free])
        recent = DeliveryAttempt.objects.filter(channel=channel, started_at__gt=now - RATE_WINDOW)
        rest = min(
            free - len(critical),
            channel.max_per_minute - recent.count() - self._in_flight(channel) - len(critical),
        )
        if rest <= 0:
            return critical
        others = due.filter(is_critical=False).values_list("pk", flat=True)[:rest]
        return critical + list(others)


def deliver_waiting(*, now: datetime) -> dict[str, int]:
    """Send the due messages one after the other within the rate limits, and count the outcomes.

    The function stops after MAX_STEPS steps. Management commands and tests use this function. The delivery process
    calls `run`.
    """
    dispatcher = Dispatcher(InlineExecutor())
    for _ in range(MAX_STEPS):
        if not dispatcher.step(now=now):
            break
    return dict(dispatcher.outcomes)


def run(control: Control) -> None:
    """Deliver until the process is stopped, then wait for the sends in progress and record them."""
    with ThreadPoolExecutor(MAX_SENDS, thread_name_prefix="send") as executor:
        dispatcher = Dispatcher(executor, owner=f"{settings.INSTANCE[:50]}:{os.getpid()}")
        is_released = False
        while not control.is_stopping or dispatcher.futures:
            control.report_progress()
            try:
                close_old_connections()
                now = timezone.now()
                if not is_released:
                    dispatcher.release_own(now=now)
                    is_released = True
                if control.is_stopping:
                    dispatcher.record_finished(now=now)
                else:
                    dispatcher.step(now=now)
            except DatabaseError as error:
                log.warning(
                    "no messages are delivered, because the database is unavailable",
                    extra={"error": str(error)},
                )
                connections.close_all()
                time.sleep(DATABASE_RETRY_SECONDS)
            _wait(dispatcher.futures)


def _wait(futures: Iterable[Future[Result]]) -> None:
    """Wait until a send has ended or until the next poll is due."""
    pending = list(futures)
    if pending:
        wait(pending, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
    else:
        time.sleep(POLL_SECONDS)
