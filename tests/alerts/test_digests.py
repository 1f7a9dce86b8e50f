"""Test that digests cover every period exactly once and do not repeat items."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from alerts.extension_points import (
    DigestItem,
    Fact,
    Severity,
    digest_source,
    digest_sources,
    report_section,
    report_sections,
)
from alerts.models import Channel, Notification
from alerts.services import digests
from tests.alerts.conftest import MINUTE, NOON, deliver
from tests.factories import make_alert
from tests.servers.mail import MailServer

pytestmark = pytest.mark.django_db
QUARTER = 15 * MINUTE
asked: list[tuple[datetime, datetime]] = []
found: list[DigestItem] = []


@pytest.fixture
def groups() -> Iterator[list[DigestItem]]:
    """Replace all digest sources with one that returns the yielded list of items."""
    kept = dict(digest_sources._items)
    digest_sources._items.clear()

    def source(since: datetime, until: datetime) -> list[DigestItem]:
        asked.append((since, until))
        return list(found)

    digest_source("test")(source)
    asked.clear()
    found.clear()
    yield found
    digest_sources._items.clear()
    digest_sources._items.update(kept)


def group(key: str = "1", **fields: object) -> DigestItem:
    given = {
        "key": f"group-{key}",
        "title": f"KeyError: seat <{key}>",
        "reason": "new",
        "count": 3,
        "first_at": NOON - MINUTE,
        "last_at": NOON,
        "sample": "in reserve(), line 12",
        "url": f"/admin/errors/group/{key}/",
        **fields,
    }
    return DigestItem(**given)  # type: ignore[arg-type]


def test_a_new_group_is_listed_once_a_day(groups: list[DigestItem], mail: MailServer) -> None:
    groups.append(group())
    for quarter in range(97):
        digests.send_error_digest(now=NOON + quarter * QUARTER)
        deliver(NOON + quarter * QUARTER)

    # The two e-mails arrived at noon on two consecutive days.
    first, _ = mail.mails
    assert first["Subject"] == "1 new or worse error group"
    text, html = (part.get_content().replace("\r\n", "\n") for part in first.iter_parts())
    assert "NEW · high · 3 times\nKeyError: seat <1>\nin reserve(), line 12" in text
    assert "KeyError: seat &lt;1&gt;" in html


def test_a_regressed_group_is_listed_again_on_the_same_day(
    groups: list[DigestItem], mail: MailServer
) -> None:
    groups.append(group())
    digests.send_error_digest(now=NOON)
    groups[0] = group(reason="regressed", regressed_at=NOON + 5 * MINUTE)

    digests.send_error_digest(now=NOON + QUARTER)
    digests.send_error_digest(now=NOON + 2 * QUARTER)
    deliver(NOON + 2 * QUARTER)

    assert len(mail.mails) == 2
    assert "REGRESSED" in mail.mails[1].get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_no_email_is_sent_without_news(groups: list[DigestItem], mail: MailServer) -> None:
    assert digests.send_error_digest(now=NOON) == "nothing new"
    assert not Notification.objects.exists()


def test_items_that_no_channel_could_receive_are_in_the_first_delivered_digest(
    groups: list[DigestItem], mail: MailServer
) -> None:
    groups.append(group())
    Channel.objects.filter(name="email").update(is_enabled=False)
    make_alert(alert_type="high-usage", severity=Severity.INFO, title="Many calls", now=NOON)
    assert digests.send_error_digest(now=NOON) == "no channel gets digests"
    assert digests.send_daily_digest(now=NOON + MINUTE) == "no channel gets digests"

    Channel.objects.filter(name="email").update(is_enabled=True)
    digests.send_error_digest(now=NOON + QUARTER)
    digests.send_daily_digest(now=NOON + timedelta(hours=20))
    deliver(NOON + timedelta(hours=20))

    assert [mail["Subject"] for mail in mail.mails] == [
        "1 new or worse error group",
        "Daily digest: 1 alert",
    ]


def test_a_late_run_covers_the_missed_time_in_one_email(
    groups: list[DigestItem], mail: MailServer
) -> None:
    digests.send_error_digest(now=NOON)
    groups.extend([group("1"), group("2")])

    digests.send_error_digest(now=NOON + 3 * QUARTER + MINUTE)
    digests.send_error_digest(now=NOON + 3 * QUARTER + 2 * MINUTE)

    assert asked[-1] == (NOON, NOON + 3 * QUARTER)
    assert Notification.objects.count() == 1


@pytest.mark.parametrize(
    "night",
    [
        datetime(2026, 3, 29, 0, 0, tzinfo=UTC),
        datetime(2026, 10, 25, 0, 0, tzinfo=UTC),
        datetime(2028, 2, 28, 23, 0, tzinfo=UTC),
    ],
)
def test_daylight_saving_and_leap_days_neither_repeat_nor_skip_a_period(
    groups: list[DigestItem], mail: MailServer, night: datetime
) -> None:
    # The task runs three times per interval of the digest, but each interval must be covered only once.
    for minute in range(0, 240, 5):
        digests.send_error_digest(now=night + minute * MINUTE)

    covered = asked
    assert len(covered) == 16
    assert all(a[1] == b[0] for a, b in itertools.pairwise(covered))


def test_a_clock_that_is_set_back_causes_no_repetition(
    groups: list[DigestItem], mail: MailServer
) -> None:
    groups.append(group())
    digests.send_error_digest(now=NOON)

    assert digests.send_error_digest(now=NOON - timedelta(hours=1)) == "already covered"


def test_info_alerts_are_collected_in_the_daily_digest(mail: MailServer) -> None:
    make_alert(alert_type="high-usage", severity=Severity.INFO, title="80 % of the plan", now=NOON)
    assert not Notification.objects.exists()

    digests.send_daily_digest(now=NOON + timedelta(hours=20))
    digests.send_daily_digest(now=NOON + timedelta(hours=20))
    deliver(NOON + timedelta(hours=20))

    (arrived,) = mail.mails
    assert arrived["Subject"] == "Daily digest: 1 alert"
    assert "80 % of the plan" in arrived.get_body(("html",)).get_content()  # type: ignore[union-attr]


def test_the_weekly_report_is_sent_even_if_a_section_fails(mail: MailServer) -> None:
    def broken(since: datetime, until: datetime) -> list[Fact]:
        raise RuntimeError

    report_section("broken", title="Broken part")(broken)
    try:
        make_alert(now=NOON)
        digests.send_weekly_report(now=NOON + timedelta(days=1))
    finally:
        del report_sections._items["broken"]
    deliver(NOON + timedelta(days=1))

    report = next(
        m for m in mail.mails if m["Subject"] == "Weekly report, 2026-02-24 to 2026-03-03"
    )
    html = report.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "Broken part" in html
    assert "Mean time to acknowledge" in html
