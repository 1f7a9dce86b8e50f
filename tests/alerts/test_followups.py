"""Test the steps that are due at a certain time: escalations, reminders, and the ends of silences and quiet hours."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts import services
from alerts.extension_points import Severity
from alerts.models import (
    AlertType,
    Channel,
    EscalationStep,
    Notification,
    Silence,
    SystemAlert,
)
from alerts.queries import active_summary
from alerts.queries.routing import skip_quiet_hours
from alerts.queries.silences import matches
from tests.alerts.conftest import MINUTE, NOON, Gauge, deliver
from tests.factories import make_alert
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db
BERLIN = ZoneInfo("Europe/Berlin")


def kinds() -> list[str]:
    return list(Notification.objects.order_by("pk").values_list("kind", flat=True))


def tick(first: datetime, minutes: int) -> None:
    for minute in range(minutes):
        services.follow_up(now=first + minute * MINUTE)


# --- escalation ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_unacknowledged_alert_escalates_four_times_and_is_then_unanswered(
    slack: FakeHTTP,
) -> None:
    alert = make_alert(now=NOON)  # The alert is critical, so the response time is 15 minutes.

    tick(NOON, 15)
    assert kinds() == ["triggered"]
    assert not SystemAlert.objects.overdue(NOON + 15 * MINUTE).exists()
    tick(NOON + 15 * MINUTE, 1)
    assert kinds() == ["triggered", "escalated"]
    assert SystemAlert.objects.overdue(NOON + 16 * MINUTE).get() == alert
    tick(NOON + 16 * MINUTE, 120)

    assert kinds() == ["triggered", *["escalated"] * 4]
    summary = active_summary(now=NOON + 120 * MINUTE)
    assert (summary.unanswered_count, summary.overdue_count) == (1, 1)


def test_an_acknowledgment_stops_escalation_and_reminders(slack: FakeHTTP) -> None:
    alert = make_alert(now=NOON)
    services.acknowledge([alert], user=None, now=NOON + MINUTE)

    for hour in range(30):
        services.follow_up(now=NOON + timedelta(hours=hour))

    assert kinds() == ["triggered"]
    assert not SystemAlert.objects.overdue(NOON + timedelta(days=1)).exists()


def test_each_escalation_step_has_its_own_delay_and_channels(slack: FakeHTTP) -> None:
    alert_type = AlertType.objects.get(slug="high-error-rate")
    alert_type.steps.all().delete()
    boss = Channel.objects.create(
        name="boss", kind="slack", config={"webhook_url": f"{slack.url}/boss"}
    )
    for minutes, channel in [(10, Channel.objects.get(name="slack")), (30, boss)]:
        step = EscalationStep.objects.create(alert_type=alert_type, after=minutes * MINUTE)
        step.channels.set([channel])
    make_alert(now=NOON)

    tick(NOON, 40)

    escalated = Notification.objects.filter(kind="escalated").order_by("pk")
    assert [(n.channel.name, n.created_at) for n in escalated] == [
        ("slack", NOON + 10 * MINUTE),
        ("boss", NOON + 30 * MINUTE),
    ]


def test_two_sweeps_escalate_once(slack: FakeHTTP) -> None:
    make_alert(now=NOON)

    services.follow_up(now=NOON + 15 * MINUTE)
    services.follow_up(now=NOON + 15 * MINUTE)

    assert kinds().count("escalated") == 1


# --- reminders -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("severity", "hours"),
    [("critical", 4), ("high", 4), ("warning", 24), ("medium", 24), ("info", None)],
)
def test_the_severity_determines_the_interval_of_reminders(
    slack: FakeHTTP, severity: str, hours: int | None
) -> None:
    EscalationStep.objects.all().delete()
    make_alert(severity=Severity(severity), now=NOON)

    for quarter in range(1, 4 * 25):
        services.follow_up(now=NOON + quarter * timedelta(minutes=15))

    reminders = Notification.objects.filter(kind="reminder").order_by("pk")
    expected = [] if hours is None else list(range(hours, 25, hours))
    assert [n.created_at for n in reminders] == [NOON + timedelta(hours=h) for h in expected]
    if reminders:
        assert (
            reminders[0]
            .payload["title"]
            .startswith("Still firing for 4 h:" if hours == 4 else "Still firing for 1 d:")
        )


# --- silences ------------------------------------------------------------------------------------------------


def silence(**fields: object) -> Silence:
    given = {
        "comment": "Database move",
        "starts_at": NOON - MINUTE,
        "ends_at": NOON + 60 * MINUTE,
        **fields,
    }
    return Silence.objects.create(**given)


def test_a_silence_holds_back_notifications_but_not_evaluation(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    silence(matchers={"rule": "test.*"})

    gauge.evaluate(6, now=NOON)
    tick(NOON, 60)
    gauge.evaluate(7, now=NOON + 59 * MINUTE)

    assert (gauge.alert().state, kinds()) == ("open", [])
    services.follow_up(now=NOON + 60 * MINUTE)
    assert kinds()[0] == "triggered"


def test_a_problem_that_opens_and_resolves_during_a_silence_sends_nothing(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    silence()

    gauge.evaluate(6, now=NOON)
    gauge.evaluate(0, now=NOON + MINUTE)
    tick(NOON, 90)

    assert kinds() == []


def test_the_resolution_of_an_announced_alert_is_sent_during_a_silence(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    gauge.evaluate(6, now=NOON - 10 * MINUTE)
    silence()
    gauge.evaluate(0, now=NOON)
    deliver(NOON)

    assert [request.json()["text"] for request in slack.requests][-1].startswith(
        "✅ Resolved after"
    )


def test_a_severity_raised_during_a_silence_is_sent_when_the_silence_ends(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    gauge.row(severity="warning", critical_threshold=50)
    gauge.evaluate(6, now=NOON - 10 * MINUTE)
    silence()

    gauge.evaluate(51, now=NOON)
    assert kinds() == ["triggered"]
    services.follow_up(now=NOON + 60 * MINUTE)

    assert kinds()[:2] == ["triggered", "raised"]


def test_a_problem_that_flaps_during_a_silence_is_sent_when_the_silence_ends(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    silence()
    for minute in range(0, 8, 2):
        gauge.evaluate(6, now=NOON + minute * MINUTE)
        gauge.evaluate(0, now=NOON + (minute + 1) * MINUTE)
    gauge.evaluate(6, now=NOON + 10 * MINUTE)
    assert (gauge.alert().is_flapping, kinds()) == (True, [])

    services.follow_up(now=NOON + 60 * MINUTE)

    assert "reopened" in kinds()


def test_an_alert_that_returns_from_a_dismissal_sends_a_reminder(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    gauge.evaluate(6, now=NOON)
    services.dismiss(gauge.alerts(), user=None, now=NOON, until=NOON + 60 * MINUTE)

    services.follow_up(now=NOON + 60 * MINUTE)

    last = Notification.objects.order_by("pk").last()
    assert last is not None
    assert last.payload["title"] == "Still firing for 1 h: Test gauge"


def test_all_matchers_must_match_and_unknown_fields_match_nothing() -> None:
    facts = {"rule": "errors.critical", "severity": "critical", "source": "errors"}

    assert matches({}, facts)
    assert matches({"rule": "errors.*", "severity": "critical"}, facts)
    assert not matches({"rule": "errors.*", "severity": "warning"}, facts)
    assert not matches({"color": "*"}, facts)


def test_a_nightly_silence_keeps_its_wall_clock_time_across_daylight_saving() -> None:
    night = silence(
        recurrence="daily",
        time_zone="Europe/Berlin",
        starts_at=datetime(2026, 3, 1, 3, 30, tzinfo=BERLIN),
        ends_at=datetime(2026, 3, 1, 4, 30, tzinfo=BERLIN),
    )

    for day in (28, 29, 30):  # On the 29th, daylight saving time starts and 02:30 does not exist.
        start = datetime(2026, 3, day, 3, 30, tzinfo=BERLIN).astimezone(UTC)
        assert night.active_until(start - MINUTE) is None
        assert night.active_until(start) == start + 60 * MINUTE
        assert night.active_until(start + 60 * MINUTE) is None


def test_a_weekly_silence_is_active_only_on_its_weekday() -> None:
    sunday = silence(
        recurrence="weekly",
        starts_at=datetime(2026, 3, 1, 23, 0, tzinfo=UTC),
        ends_at=datetime(2026, 3, 2, 2, 0, tzinfo=UTC),
    )

    assert sunday.active_until(datetime(2026, 3, 9, 1, 59, tzinfo=UTC))
    assert not sunday.active_until(datetime(2026, 3, 10, 1, 0, tzinfo=UTC))
    assert not sunday.active_until(datetime(2026, 2, 22, 23, 30, tzinfo=UTC))


# --- quiet hours -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        # Daylight saving time starts, so it is quiet until 07:00 CEST.
        ((2026, 3, 28, 22, 0, 0), (2026, 3, 29, 5, 0, 0)),
        # Daylight saving time ends, so it is quiet until 07:00 CET.
        ((2026, 10, 24, 22, 0, 0), (2026, 10, 25, 6, 0, 0)),
        ((2028, 2, 29, 2, 0, 0), (2028, 2, 29, 6, 0, 0)),
        ((2026, 3, 28, 12, 0, 0), (2026, 3, 28, 12, 0, 0)),
    ],
)
def test_quiet_hours_end_by_the_wall_clock(
    now: tuple[int, int, int, int, int, int], expected: tuple[int, int, int, int, int, int]
) -> None:
    quiet = (time(22), time(7), BERLIN)

    assert skip_quiet_hours(quiet, datetime(*now, tzinfo=UTC)) == datetime(*expected, tzinfo=UTC)


@given(
    minutes=st.integers(0, 3 * 366 * 24 * 60),
    start=st.times(),
    end=st.times(),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_quiet_hours_delay_by_at_most_26_hours(
    minutes: int, start: time, end: time, zone: str
) -> None:
    now = NOON + minutes * MINUTE
    quiet = (start, end, ZoneInfo(zone))

    ends = skip_quiet_hours(quiet, now)

    assert now <= ends <= now + timedelta(hours=26)


# --- cooldown ---------------------------------------------------------------------------------------------------


def test_the_cooldown_delays_the_notification_of_a_reopened_alert(
    gauge: Gauge, slack: FakeHTTP
) -> None:
    gauge.row(cooldown=timedelta(minutes=10))
    for minute, value in [(0, 6), (1, 0), (2, 6)]:
        gauge.evaluate(value, now=NOON + minute * MINUTE)
    assert kinds() == ["triggered", "resolved"]

    tick(NOON + 3 * MINUTE, 7)
    assert kinds() == ["triggered", "resolved"]
    tick(NOON + 10 * MINUTE, 1)

    assert kinds() == ["triggered", "resolved", "reopened"]


# --- invariant -------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["breach", "worse", "clear", "acknowledge", "dismiss", "silence", "wait"]),
        st.sampled_from([200, 500, 429, 0]),  # The status 0 stands for a dropped connection.
        st.integers(1, 20),
    ),
    max_size=14,
)


@pytest.mark.slow
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_every_delivered_alert_is_followed_by_its_resolution(
    transactional_gauge: tuple[Gauge, FakeHTTP], steps: list[tuple[str, int, int]]
) -> None:
    gauge, server = transactional_gauge
    SystemAlert.objects.all().delete()
    Notification.objects.all().delete()
    Silence.objects.all().delete()
    Channel.objects.update(
        is_enabled=True, failing_since=None, disabled_reason="", retry_at=None, failure_count=0
    )
    server.reset()
    now = NOON
    for step, answer, minutes in steps:
        answer_with(server, answer)
        match step:
            case "breach":
                gauge.evaluate(6, now=now)
            case "worse":
                gauge.evaluate(60, now=now)
            case "clear":
                gauge.evaluate(0, now=now)
            case "acknowledge":
                services.acknowledge(gauge.alerts(), user=None, now=now)
            case "dismiss":
                services.dismiss(gauge.alerts(), user=None, now=now)
            case "silence":
                silence(starts_at=now, ends_at=now + 10 * MINUTE)
        run(now)
        now += minutes * MINUTE

    answer_with(server, 200)
    for _ in range(30):  # Even a flapping alert is resolved within thirty steps.
        gauge.evaluate(0, now=now)
        run(now)
        now += 6 * MINUTE

    for stream in set(Notification.objects.values_list("stream", flat=True)):
        delivered = Notification.objects.filter(stream=stream, sent_at__isnull=False).order_by("pk")
        last = delivered.last()
        assert last is None or last.kind == "resolved", list(delivered.values_list("kind", "state"))
    assert not Notification.objects.unfinished().exists()
    assert not SystemAlert.objects.active().exists()


def answer_with(server: FakeHTTP, status: int) -> None:
    server.reset()
    if status:
        server.default.status = status
    else:
        server.drop(times=None)


def run(now: datetime) -> None:
    services.follow_up(now=now)
    services.deliver_waiting(now=now)


@pytest.fixture
def transactional_gauge(gauge: Gauge, slack: FakeHTTP) -> tuple[Gauge, FakeHTTP]:
    gauge.row(severity="warning", critical_threshold=50)
    Channel.objects.update(max_per_minute=10_000)
    AlertType.objects.get(slug="high-error-rate").channels.set(Channel.objects.filter(name="slack"))
    return gauge, slack
