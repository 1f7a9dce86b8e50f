"""Test bulk actions in the inbox on all matching alerts and on groups of alerts, their undo, and the search line."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from alerts import services
from alerts.extension_points import Severity
from alerts.models import AlertEvent, AlertRule, Notification, Silence, SystemAlert
from alerts.services import undo
from tests.alerts.conftest import MINUTE, Gauge, deliver, sent
from tests.factories import make_alert
from tests.servers.fake_http import FakeHTTP

pytestmark = pytest.mark.django_db
INBOX = "/admin/alerts/"


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("owner", "o@example.com", "x"))
    return client


def act(client: Client, action: str, **sent: object) -> dict[str, str]:
    """Post a bulk action as htmx does. Return the message that the page shows, with the URL that undoes the action."""
    answer = client.post(f"{INBOX}act/", {"action": action, **sent}, headers={"HX-Request": "true"})
    assert answer.status_code == 204
    events = json.loads(answer["HX-Trigger"])
    assert "alerts-changed" in events
    message: dict[str, str] = events["portal:message"]
    return message


def states() -> list[str]:
    return list(SystemAlert.objects.order_by("pk").values_list("state", flat=True))


def make_many(count: int, **fields: object) -> list[SystemAlert]:
    """Create `count` alerts quickly, by copying the row of the first alert."""
    first = make_alert(**fields)
    copies = []
    for number in range(1, count):
        copy = SystemAlert.objects.get(pk=first.pk)
        copy.pk, copy.key = None, f"{first.key}-{number}"
        copies.append(copy)
    return [first, *SystemAlert.objects.bulk_create(copies)]


# --- all matching alerts ----------------------------------------------------------------------------------------


def test_all_matching_alerts_are_changed_not_only_those_on_the_page(owner: Client) -> None:
    make_many(70, source="shop")
    other = make_alert(source="gate")
    page = owner.get(INBOX, {"source": "shop"})
    assert "Select all 70 matching rows" in page.content.decode()

    message = act(owner, "dismiss", scope="matching", query="source=shop")

    assert message["text"] == "Dismissed: 70 alerts"
    assert states().count("dismissed") == 70
    other.refresh_from_db()
    assert other.state == "open"


def test_an_alert_that_opened_after_the_page_was_loaded_is_not_changed(owner: Client) -> None:
    seen = make_alert()
    page = owner.get(INBOX)
    make_alert()

    act(owner, "dismiss", scope="matching", query="", newest=str(page.context["newest"]))

    assert page.context["newest"] == seen.pk
    assert states() == ["dismissed", "open"]


def test_an_invalid_search_matches_nothing(owner: Client) -> None:
    make_alert()

    message = act(owner, "dismiss", scope="matching", query="q=severity:loud")

    assert (message["text"], message["tone"]) == ("No alert was selected.", "warning")
    assert states() == ["open"]


# --- undo --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "after"),
    [("acknowledge", "acknowledged"), ("dismiss", "dismissed"), ("resolve", "resolved")],
)
def test_an_undo_reverts_everything_that_the_action_changed(
    owner: Client, action: str, after: str
) -> None:
    alerts = [make_alert(), make_alert()]
    services.acknowledge([alerts[1]], user=None, now=timezone.now())
    fields = ("state", "respond_by", "escalate_at", "read_at", "acknowledged_at", "is_unanswered")

    def read() -> list[tuple[object, ...]]:
        return list(SystemAlert.objects.order_by("pk").values_list(*fields))

    before = read()

    message = act(owner, action, alert=[alert.pk for alert in alerts])
    assert after in states()
    undone = owner.post(message["undo"], headers={"HX-Request": "true"})

    assert "Undone:" in json.loads(undone["HX-Trigger"])["portal:message"]["text"]
    assert read() == before
    assert AlertEvent.objects.filter(kind="undone").exists()


def test_two_actions_are_undone_in_reverse_order(owner: Client) -> None:
    alert = make_alert()
    first = act(owner, "acknowledge", alert=[alert.pk])
    second = act(owner, "resolve", alert=[alert.pk])

    owner.post(second["undo"], headers={"HX-Request": "true"})
    assert states() == ["acknowledged"]
    owner.post(first["undo"], headers={"HX-Request": "true"})

    assert states() == ["open"]


def test_a_silence_and_a_read_mark_are_undone(owner: Client) -> None:
    alert = make_alert()
    for action in ("silence", "read"):
        message = act(owner, action, alert=alert.pk)
        owner.post(message["undo"])
    alert.refresh_from_db()
    assert (Silence.objects.count(), alert.read_at, alert.read_by) == (0, None, None)


def test_without_scripts_the_next_page_has_an_undo_button(owner: Client) -> None:
    alert = make_alert()

    page = owner.post(f"{INBOX}act/", {"action": "dismiss", "alert": alert.pk}, follow=True)

    batch = AlertEvent.objects.get(kind="dismissed").batch
    assert f'action="{INBOX}undo/{batch}/"' in page.content.decode()
    page = owner.post(f"{INBOX}undo/{batch}/", follow=True)
    assert "Undone: 1 alert." in page.content.decode()
    assert states() == ["open"]
    page = owner.post(f"{INBOX}undo/{batch}/", follow=True)
    assert "Nothing was undone" in page.content.decode()


def test_undo_skips_an_alert_that_was_changed_again(owner: Client) -> None:
    alerts = [make_alert(), make_alert()]
    message = act(owner, "acknowledge", alert=[alert.pk for alert in alerts])
    services.dismiss([alerts[0]], user=None, now=timezone.now())

    owner.post(message["undo"])

    assert states() == ["dismissed", "open"]


def test_occurrences_after_the_action_do_not_prevent_its_undo(owner: Client) -> None:
    alert = make_alert()
    message = act(owner, "dismiss", alert=alert.pk)
    make_alert(key=alert.key)

    owner.post(message["undo"])

    alert.refresh_from_db()
    assert (alert.state, alert.occurrence_count) == ("open", 2)


def test_only_the_person_who_acted_can_undo_and_only_within_an_hour(owner: Client) -> None:
    alert = make_alert()
    message = act(owner, "dismiss", alert=alert.pk)
    batch = AlertEvent.objects.get(kind="dismissed").batch
    assert batch
    actor = get_user_model().objects.get(username="owner")
    other = get_user_model().objects.create_superuser("other", "p@example.com", "x")
    late = timezone.now() + timedelta(minutes=61)

    assert undo(batch, user=other, now=timezone.now()) == 0
    assert undo(batch, user=actor, now=late) == 0
    assert message["undo"].endswith(f"{batch}/")
    assert states() == ["dismissed"]
    assert undo(batch, user=actor, now=timezone.now()) == 1


def test_undoing_a_resolution_notifies_people_that_the_alert_is_open(
    owner: Client, gauge: Gauge, slack: FakeHTTP
) -> None:
    now = timezone.now() - 5 * MINUTE
    gauge.evaluate(6, now=now)
    deliver(now)
    message = act(owner, "resolve", alert=gauge.alert().pk)

    owner.post(message["undo"])
    deliver(timezone.now())

    assert gauge.alert().state == "open"
    assert [one.kind for one in sent()] == ["triggered", "reminder"]
    assert Notification.objects.get(kind="resolved").state == "superseded"


def test_a_resolution_is_not_undone_if_a_newer_alert_covers_the_problem(owner: Client) -> None:
    old = make_alert(key="same")
    message = act(owner, "resolve", alert=old.pk)
    make_alert(key="same", now=timezone.now() + timedelta(hours=1))

    owner.post(message["undo"])

    assert states() == ["resolved", "open"]


# --- groups ------------------------------------------------------------------------------------------------


def test_alerts_of_one_type_are_shown_as_one_row(owner: Client) -> None:
    make_many(60, source="shop", alert_type="slow-performance", severity=Severity.HIGH)
    make_alert(source="gate", title="Gate down")

    page = owner.get(INBOX, {"by": "type"})

    rows = [row.get("name") or row["alert"].title for row in page.context["rows"]]
    assert rows == ["Gate down", "Slow performance"]
    family = page.context["rows"][1]["family"]
    assert (family.count, family.severity, family.critical_count) == (60, "high", 0)
    shown = owner.get(page.context["rows"][1]["url"])
    assert shown.context["page"].paginator.count == 60


def test_alerts_of_one_rule_have_one_cause(owner: Client, gauge: Gauge) -> None:
    rule = gauge.row()
    for alert in make_many(3):
        SystemAlert.objects.filter(pk=alert.pk).update(rule=rule)
    make_alert(title="Alone")

    page = owner.get(INBOX, {"by": "cause"})

    assert AlertRule.objects.filter(pk=rule.pk).exists()
    names = {row.get("name") or row["alert"].title for row in page.context["rows"]}
    assert names == {"Test gauge", "Alone"}
    [family] = [row for row in page.context["rows"] if "family" in row]
    assert owner.get(family["url"]).context["page"].paginator.count == 3


@pytest.mark.parametrize("by", ["type", "source", "cause"])
def test_an_action_on_a_group_changes_only_the_alerts_of_this_group(owner: Client, by: str) -> None:
    family = make_many(3, key="k", source="shop", alert_type="slow-performance")
    if by == "cause":
        family = family[:1]
    other = make_alert(source="gate")
    value = {"type": "slow-performance", "source": "shop", "cause": "k"}[by]

    act(owner, "acknowledge", family=value, query=f"by={by}")

    for alert in (*family, other):
        alert.refresh_from_db()
    assert {alert.state for alert in family} == {"acknowledged"}
    assert other.state == "open"


# --- the search line ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "severity:critical",
        "type:slow-performance",
        "source:shop",
        "is:unread severity:critical",
        "cause:p1",
        "function:pay",
        'function:"pay" slow',
        "-source:gate",
        "Checkout slow",
    ],
)
def test_each_filter_finds_only_the_matching_alert(owner: Client, query: str) -> None:
    make_alert(title="Gate", source="gate", severity=Severity.INFO, key="p0")
    make_alert(
        title="Checkout is slow",
        source="shop",
        alert_type="slow-performance",
        key="p1",
        labels={"function": "pay"},
    )

    page = owner.get(INBOX, {"q": query})

    assert [row["alert"].title for row in page.context["rows"]] == ["Checkout is slow"]


def test_an_unknown_filter_is_reported_with_the_most_similar_one(owner: Client) -> None:
    make_alert(title="Shown", labels={"function": "pay"})

    page = owner.get(INBOX, {"q": "functions:pay"}).content.decode()

    assert "Unknown filter functions: (did you mean function:pay)" in page
    assert "Shown" not in page


def test_keys_and_values_are_completed(owner: Client) -> None:
    make_alert(labels={"function": "pay"})

    def complete(typed: str) -> list[str]:
        answer = owner.get(f"{INBOX}complete/", {"q": typed}).json()
        return [one["text"] for one in answer["suggestions"]]

    assert complete("slow fun") == ["function:"]
    assert complete("function:") == ["function:pay "]
    assert complete("is:un") == ["is:unread "]
    assert complete("acknowledged:o") == ["acknowledged:owner "]
    assert "severity:critical " in complete("severity:")
