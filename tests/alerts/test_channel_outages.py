"""Test that no message is lost or sent twice while one channel hangs, three channels fail, and workers are killed."""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.alerts.channel_outages import HEALTHY, environment, scenario
from tests.servers.mail import MailServer
from tests.servers.portal import Portal

ALERT_COUNT = 60
IMPATIENT = ("-m", "tests.alerts.impatient")


@pytest.mark.slow
def test_no_message_is_lost_doubled_or_out_of_order_while_channels_fail_and_workers_are_killed(
    make_portal: Callable[..., Portal], mail_server: MailServer
) -> None:
    portal = make_portal(**environment(mail_server))
    with scenario(portal, mail_server, max_per_minute=1000, manage=IMPATIENT) as outage:
        outage.report_alerts(ALERT_COUNT, seconds=6, kills_at=(10, 25, 40))
        critical = {alert.title for alert in outage.reported if alert.is_critical}
        everything = {alert.title for alert in outage.reported}
        outage.wait_for_healthy_channels()

        # The healthy channels must receive all messages while the other channels are broken.
        for channel in HEALTHY:
            assert critical <= outage.announced(channel), channel
            assert outage.announced(channel) | outage.grouped(channel) == everything, channel
        for channel in ("hanging", "failing", "revoked", "limited"):
            assert outage.received(channel) == []

        outage.repair()

        for channel in [*outage.providers, "email"]:
            sent, grouped = outage.announced(channel), outage.grouped(channel)
            assert critical <= sent, channel
            assert sent | grouped == everything, channel
            assert not sent & grouped, channel
            outage.wait_for_storm_message(channel, len(grouped))
        assert (
            outage.portal.value(
                "SELECT count(*) FROM alerts_systemalert WHERE state = 'open' AND source = 'tests'"
            )
            == ALERT_COUNT
        )

        outage.clear_alerts()

        interrupted = outage.interrupted_keys()
        for channel, provider in outage.providers.items():
            counts = Counter(key for key, *_ in provider.accepted)
            # If a process is killed after it sends a message and before it records the result, the portal sends the
            # message again with the same key.
            assert {key for key, count in counts.items() if count > 1} <= interrupted, channel
            kinds: dict[str, list[str]] = {}
            for _, kind, title, _ in provider.accepted:
                problem = title.removeprefix("Resolved: ")
                if kind in ("triggered", "resolved") and problem in everything:
                    kinds.setdefault(problem, []).append(kind)
            for title, order in kinds.items():
                assert sorted(set(order), reverse=True) == ["triggered", "resolved"], title
                assert order == sorted(order, reverse=True), title
