"""Test the HTML of the inbox and of the alert page."""

from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from django.utils.html import strip_tags

from alerts import services
from alerts.extension_points import Severity
from alerts.models import AlertEvent, Channel, Notification, Silence
from health.queries.public_status import load_public_status
from impact.references import References
from tests.alerts.conftest import MINUTE, Gauge, deliver
from tests.factories import make_alert, make_payment
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db
INBOX = "/admin/alerts/"


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("owner", "o@example.com", "x"))
    return client


def html(client: Client, url: str, **filters: str) -> str:
    answer = client.get(url, filters)
    assert answer.status_code == 200
    return answer.content.decode()


def order(page: str, *titles: str) -> list[str]:
    return sorted(titles, key=page.index)


def test_open_alerts_are_sorted_by_severity_before_acknowledged_ones(owner: Client) -> None:
    make_alert(title="Mild", severity=Severity.INFO)
    taken = make_alert(title="Taken")
    make_alert(title="Grave")
    services.acknowledge([taken], user=None, now=timezone.now())

    page = html(owner, INBOX)

    assert order(page, "Mild", "Taken", "Grave") == ["Grave", "Mild", "Taken"]
    assert "3 active, 2 critical, 2 unread." in page


def test_the_url_filters_the_inbox(owner: Client) -> None:
    make_alert(title="Gate north", severity=Severity.HIGH, source="gates")
    make_alert(title="Pay desk", severity=Severity.CRITICAL, source="payments")

    assert "Pay desk" not in html(owner, INBOX, q="gate")
    assert "Gate north" not in html(owner, INBOX, severity="critical")
    assert "Pay desk" not in html(owner, INBOX, source="gates")
    assert "No results" in html(owner, INBOX, q="nowhere")


def test_tabs_filter_by_state(owner: Client) -> None:
    now = timezone.now()
    old = make_alert(title="Old", now=now - timedelta(hours=1))
    gone, away = make_alert(title="Gone"), make_alert(title="Away")
    services.resolve([gone], user=None, now=now)
    services.dismiss([away], user=None, now=now)

    assert "Gone" not in html(owner, INBOX)
    assert "Gone" in html(owner, INBOX, state="resolved")
    assert "Away" in html(owner, INBOX, state="dismissed")
    assert "Overdue" in html(owner, INBOX, state="overdue")
    assert old.title in html(owner, INBOX, state="overdue")
    assert order(html(owner, INBOX, state="all"), "Old", "Gone", "Away")[-1] == "Old"


def test_an_empty_inbox_says_that_no_alert_is_open(owner: Client) -> None:
    page = html(owner, INBOX)
    assert page.count("No open alerts") == 2
    # Without an open alert, a figure may still exceed its warning threshold, so the page must not call all well.
    assert "All systems operational" not in page


def test_the_inbox_warns_about_failing_channels_and_silences(owner: Client) -> None:
    now = timezone.now()
    Channel.objects.filter(name="email").update(
        is_enabled=False, disabled_reason="550 no such user"
    )
    make_alert(is_unanswered=True)
    Silence.objects.create(comment="Move", starts_at=now, ends_at=now + timedelta(hours=1))

    page = html(owner, INBOX)

    assert "1 alert was escalated through all steps and never acknowledged." in page
    assert "The channel &quot;email&quot; is disabled: 550 no such user." in page
    assert "Move" in page


@pytest.mark.parametrize(
    ("action", "state"),
    [("acknowledge", "acknowledged"), ("dismiss", "dismissed"), ("resolve", "resolved")],
)
def test_a_bulk_action_changes_the_selected_alerts(owner: Client, action: str, state: str) -> None:
    alerts = [make_alert() for _ in range(3)]

    owner.post(f"{INBOX}act/", {"action": action, "alert": [a.pk for a in alerts[:2]]})

    for alert in alerts:
        alert.refresh_from_db()
    assert [alert.state for alert in alerts] == [state, state, "open"]


@pytest.mark.parametrize(
    "sent",
    [
        {"action": "explode", "alert": "1"},
        {"action": "dismiss"},
        {"action": "dismiss", "alert": "x"},
    ],
)
def test_an_invalid_bulk_action_changes_nothing(owner: Client, sent: dict[str, str]) -> None:
    alert = make_alert()

    answer = owner.post(f"{INBOX}act/", sent, follow=True)

    assert answer.status_code == 200
    alert.refresh_from_db()
    assert alert.state == "open"


def test_a_silence_from_the_inbox_suppresses_the_reopened_alert(
    owner: Client, gauge: Gauge, slack: FakeHTTP
) -> None:
    now = timezone.now()
    gauge.evaluate(6, now=now - MINUTE)
    gauge.evaluate(0, now=now - MINUTE)

    owner.post(
        f"{INBOX}act/", {"action": "silence", "alert": gauge.alert().pk, "silence_hours": "4"}
    )
    gauge.evaluate(6, now=now + MINUTE)

    silence = Silence.objects.get()
    assert silence.ends_at - silence.starts_at == timedelta(hours=4)
    assert "reopened" not in Notification.objects.values_list("kind", flat=True)


@pytest.mark.parametrize("hours", ["-1", "x", "99999", "1.5"])
def test_invalid_hours_are_rejected(owner: Client, hours: str) -> None:
    alert = make_alert()

    owner.post(f"{INBOX}{alert.pk}/act/", {"action": "dismiss", "hours": hours})

    alert.refresh_from_db()
    assert alert.state == "open"


def test_the_alert_page_shows_rule_timeline_and_deliveries(
    owner: Client, gauge: Gauge, slack: FakeHTTP
) -> None:
    now = timezone.now()
    slack.answer(500, body="try later")
    gauge.row(runbook="Restart the gate server")
    gauge.evaluate(6, now=now - 3 * MINUTE)
    deliver(now - 3 * MINUTE)
    deliver(now - 2 * MINUTE)
    alert = gauge.alert()

    owner.post(f"{INBOX}{alert.pk}/act/", {"action": "comment", "text": "<b>Looking</b>"})
    page = html(owner, f"{INBOX}{alert.pk}/")

    assert "Test gauge" in page
    assert "6 errors" in page
    assert "&gt; 5 errors" in page
    assert "Restart the gate server" in page
    assert "&lt;b&gt;Looking&lt;/b&gt;" in page
    assert "500 try later" in page
    assert "2 attempts" in page
    assert "data-chart" in page
    assert AlertEvent.objects.get(kind="comment").user is not None


def test_the_alert_page_shows_the_amount_at_risk(owner: Client) -> None:
    for order in ("o-1", "o-2"):
        make_payment(order_id=order, amount=4200, status="processing")
    alert = make_alert(references=References(order_ids=frozenset({"o-1", "o-2"})))

    page = html(owner, f"{INBOX}{alert.pk}/")

    assert "2 orders, 84.00 EUR at risk" in page


def test_a_message_can_be_resent_from_the_alert_page(
    owner: Client, gauge: Gauge, slack: FakeHTTP
) -> None:
    gauge.evaluate(6, now=timezone.now())
    deliver(timezone.now())
    notification = Notification.objects.get()

    owner.post(f"{INBOX}message/{notification.pk}/resend/")

    notification.refresh_from_db()
    assert notification.state == "waiting"


def test_a_missing_alert_is_not_found(owner: Client) -> None:
    assert owner.get(f"{INBOX}999/").status_code == 404
    assert owner.post(f"{INBOX}999/act/", {"action": "dismiss"}).status_code == 404


def test_the_button_runs_all_checks(owner: Client, gauge: Gauge) -> None:
    gauge.value = 6

    page = owner.post(f"{INBOX}run-checks/", follow=True).content.decode()

    assert "1 rule: 1 opened" in page
    assert gauge.alert().state == "open"


def test_the_silence_form_previews_matching_alerts(owner: Client) -> None:
    make_alert(title="Gate", source="gates")
    make_alert(title="Desk", source="payments")
    url = f"{INBOX}silence-preview/"

    page = html(owner, url, matchers_source="gat*")
    assert "1 active alert" in page
    assert "Gate" in page
    assert "Desk" not in page
    assert "2 active alerts" in html(owner, url)
    assert "at most 200 characters" in html(owner, url, matchers_source="x" * 201)


def test_a_silence_matches_the_fields_that_are_filled_in(owner: Client) -> None:
    form = {
        "comment": "x",
        "matchers_rule": "errors.*",
        "matchers_severity": "critical",
        "matchers_source": " ",
        "starts_at_0": "2026-03-01",
        "starts_at_1": "10:00",
        "ends_at_0": "2026-03-01",
        "ends_at_1": "11:00",
        "recurrence": "once",
        "time_zone": "UTC",
    }

    taken = owner.post("/admin/alerts/silence/add/", form)

    assert taken.status_code == 302
    silence = Silence.objects.get()
    assert silence.matchers == {"rule": "errors.*", "severity": "critical"}
    assert str(silence.created_by) == "owner"
    page = html(owner, f"/admin/alerts/silence/{silence.pk}/change/")
    assert 'value="errors.*"' in page
    assert '<option value="critical" selected>' in page


def test_a_new_silence_starts_now_for_two_hours(owner: Client) -> None:
    page = html(owner, "/admin/alerts/silence/add/")

    assert f'value="{timezone.now():%Y-%m-%d}"' in page


def test_the_status_page_shows_maintenance_but_not_silences() -> None:
    now = timezone.now()
    span = {"starts_at": now - timedelta(days=3), "ends_at": now - timedelta(days=3, hours=-2)}
    Silence.objects.create(comment="Noisy rule", **span, recurrence="daily")
    Silence.objects.create(
        comment="New database",
        **span,
        recurrence="daily",
        is_maintenance=True,
        matchers={"key": "x"},
    )

    (planned,) = load_public_status(now=now).maintenance

    assert (planned.title, planned.starts_at) == ("New database", now)


def test_an_open_alert_shows_its_current_value_and_when_it_resolves(
    owner: Client, gauge: Gauge
) -> None:
    now = timezone.now()
    gauge.row(clear_after=3)
    gauge.evaluate(5.8, now=now - 2 * MINUTE)
    # The value 4.55 is below the threshold of 5, but above 4, at which the alert resolves.
    gauge.evaluate(4.55, now=now - MINUTE)

    page = text_of(html(owner, f"{INBOX}{gauge.alert().pk}/"))
    assert "Current value 4.55 errors measured" in page
    assert "Breached when > 5 errors Resolves when ≤ 4 errors in 3 evaluations in a row" in page
    assert "5.8 errors, above the threshold of 5 errors" in page
    assert "4.55 errors breached > 5 errors resolves ≤ 4 errors" in text_of(html(owner, INBOX))

    gauge.row(below=True, clear_threshold=None)
    assert "Resolves when ≥ 6.25 errors" in text_of(html(owner, f"{INBOX}{gauge.alert().pk}/"))


def test_the_chart_of_an_alert_shows_the_value_that_resolves_it(
    owner: Client, gauge: Gauge
) -> None:
    gauge.evaluate(6, now=timezone.now())

    page = html(owner, f"{INBOX}{gauge.alert().pk}/")

    assert "resolves at: \\u2264 4 errors" in page


def text_of(page: str) -> str:
    return " ".join(unescape(strip_tags(page)).split())
