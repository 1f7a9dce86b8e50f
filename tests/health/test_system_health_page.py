from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from alerts.extension_points import Severity
from core.releases.models import Deploy, Release
from health.extension_points import Tab, WidgetContext, dashboard_widgets, widget
from health.models import Component
from health.services import record_measurements, record_results
from health.signals import Performance
from health.verdict import Result, Status
from tests.factories import make_alert, make_app

pytestmark = pytest.mark.django_db
PAGE = "/admin/system-health/"


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_user("owner", is_staff=True, is_superuser=True))
    return client


def make_component(name: str, *, status: Status = Status.HEALTHY, required: bool = False) -> None:
    now = timezone.now()
    component = Component.objects.create(
        kind="check", name=name, title=name.title(), is_required=required
    )
    result = Result(status, now - timedelta(minutes=4), 12, "refused by db.internal")
    record_results([(component, [result])], now=now)


def test_the_page_requires_a_staff_user(client: Client) -> None:
    assert client.get(PAGE).status_code == 302
    client.force_login(User.objects.create_user("customer"))
    assert client.get(PAGE).status_code == 302


def test_widgets_beyond_the_time_budget_are_loaded_by_the_browser(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("health.views.system_health.RENDER_BUDGET_SECONDS", 0)
    make_component("database", required=True)

    page = staff.get(PAGE).content.decode()

    # The time budget does not apply to the widgets at the top.
    assert "All systems operational" in page
    assert 'hx-trigger="load, every 60s' in page
    assert "Loading…" in page
    complete = staff.get(PAGE, {"all": "1"}).content.decode()
    assert "Load all widgets" in page
    assert "Loading…" not in complete
    assert "Database" in complete


def test_the_page_starts_with_the_overall_status(staff: Client) -> None:
    make_component("database", required=True)

    page = staff.get(PAGE).content.decode()

    assert "All systems operational" in page
    assert page.index("All systems operational") < page.index("Checks")


def test_the_page_starts_with_the_worst_problem_and_its_reason(staff: Client) -> None:
    make_component("database", status=Status.UNHEALTHY, required=True)
    make_component("stripe", status=Status.DEGRADED)

    page = staff.get(PAGE).content.decode()

    assert "All systems operational" not in page
    headline = strip_tags(page.partition('class="verdict">')[2])
    assert " ".join(headline.split()).startswith("Database down started 4 min ago")
    assert "refused by db.internal" in page


def test_a_critical_alert_is_a_problem_even_if_all_checks_pass(staff: Client) -> None:
    make_component("database", required=True)
    make_alert(title="Critical errors: 12 in the last hour", severity=Severity.CRITICAL)

    page = staff.get(PAGE).content.decode()

    verdict = page[page.index('class="verdict"') :][:400]
    assert "Critical errors: 12 in the last hour" in verdict
    assert "All systems operational" not in page


def test_five_of_many_alerts_are_shown_each_with_a_button(staff: Client) -> None:
    for number in range(10):
        make_alert(key=f"k{number}", title=f"Problem {number}", severity=Severity.HIGH)

    page = staff.get(PAGE).content.decode()
    card = page[page.index('id="widget-alerts-active"') :].split("</section>")[0]

    assert card.count(">Dismiss</button>") == 5
    assert "5 of 10 shown" in card
    assert 'method="post"' in card


def test_dismissing_without_javascript_returns_to_the_page(staff: Client) -> None:
    alert = make_alert(title="Problem", severity=Severity.HIGH)
    response = staff.post(reverse("alerts:alert-dismiss", args=[alert.pk]), {"next": PAGE})

    assert response["Location"] == PAGE
    page = staff.get(PAGE).content.decode()
    assert "new alerts appear here automatically" in page


def test_wall_mode_shows_only_selected_widgets(staff: Client) -> None:
    make_component("database", required=True)

    page = staff.get(PAGE + "?wall=1").content.decode()

    assert "All systems operational" in page
    assert 'class="wall"' in page
    assert "Scheduled jobs" not in page


@pytest.mark.parametrize("query", ["?wall", "?wall=1"])
def test_wall_mode_has_one_slide_for_each_problem(staff: Client, query: str) -> None:
    for name in ("database", "queue"):
        make_component(name, required=True, status=Status.UNHEALTHY)

    page = staff.get(PAGE + query).content.decode()

    assert page.count("data-slide") == 2
    assert "1 of 2" in page
    # A card must refresh in the layout of the wall.
    assert "&amp;wall=1" in page


def test_wall_mode_names_the_responder(staff: Client) -> None:
    make_alert(
        title="Payments fail",
        severity=Severity.CRITICAL,
        acknowledged_by=User.objects.create_user("anna"),
        acknowledged_at=timezone.now(),
    )

    page = staff.get(f"{PAGE}?wall=1").content.decode()

    assert "anna" in strip_tags(page.split("Responder:", 1)[1])[:100]


@pytest.mark.parametrize("name", ["health.response_times", "health.users"])
def test_a_figure_links_to_a_page_of_its_own(staff: Client, name: str) -> None:
    url = reverse("health:widget", args=[name])

    assert url in staff.get(PAGE).content.decode()
    page = staff.get(url).content.decode()
    assert f"<h1>{dashboard_widgets.get(name).title}</h1>" in page
    assert 'aria-label="Time range"' in page


def test_the_uptime_page_lists_all_components(staff: Client) -> None:
    for number in range(12):
        make_component(f"service-{number}")

    page = staff.get(reverse("health:uptime")).content.decode()

    assert page.count('class="uptime-line"') == 12
    assert "Service-11: 90 days, 1 with results" in page


def test_every_widget_is_available_without_javascript(staff: Client) -> None:
    page = staff.get(PAGE + "?all=1").content.decode()

    for found in dashboard_widgets:
        assert reverse("health:widget", args=[found.name]) in page
    assert "Loading…" not in page
    assert "unavailable right now" not in page


@pytest.mark.parametrize("span", ["1h", "24h", "7d", "30d", "nonsense"])
def test_every_widget_renders_in_every_range(staff: Client, span: str) -> None:
    record_measurements([Performance("checkout", 250)], app=make_app(), now=timezone.now())
    for found in dashboard_widgets:
        response = staff.get(
            reverse("health:widget", args=[found.name]),
            {"range": span},
            headers={"HX-Request": "true"},
        )
        body = response.content.decode()
        assert response.status_code == 200
        assert body.lstrip().startswith("<section")
        assert "unavailable right now" not in body, found.name


def test_a_failing_widget_shows_an_error_card_only_for_itself(
    staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard_widgets, "_items", {})
    make_component("database")

    @widget(
        "test.broken", title="Broken", template="health/_widget_checks.html", tab=Tab.RELIABILITY
    )
    def broken(context: WidgetContext) -> dict[str, object]:
        raise ZeroDivisionError

    @widget("test.fine", title="Fine", template="health/_widget_checks.html", tab=Tab.RELIABILITY)
    def fine(context: WidgetContext) -> dict[str, object]:
        return {"components": list(Component.objects.all())}

    response = staff.get(PAGE)

    page = response.content.decode()
    assert response.status_code == 200
    assert page.count("This data is unavailable right now") == 1
    assert "refused by db.internal" in page
    alone = staff.get(
        reverse("health:widget", args=["test.broken"]), headers={"HX-Request": "true"}
    )
    assert alone.status_code == 200
    assert "every 60s" in alone.content.decode()


def test_a_widget_without_javascript_is_a_page(staff: Client) -> None:
    page = staff.get(reverse("health:widget", args=["health.checks"])).content.decode()

    assert "<html" in page
    assert "Checks" in page


def test_an_unknown_widget_returns_404(staff: Client) -> None:
    assert staff.get(reverse("health:widget", args=["no.such"])).status_code == 404


def test_the_response_to_a_posted_form_replaces_only_its_widget(staff: Client) -> None:
    response = staff.get(PAGE, headers={"HX-Request": "true", "HX-Target": "widget-health-checks"})

    assert response.content.decode().lstrip().startswith('<section id="widget-health-checks"')


def test_each_kind_of_call_and_each_function_shows_its_own_numbers(staff: Client) -> None:
    app, now = make_app(name="Shop"), timezone.now()
    calls = [Performance("seats", 40, kind="request")] * 3
    calls += [Performance("scan", 900), Performance("refund", 20, ok=False)]
    record_measurements(calls, app=app, now=now)

    def rows(name: str) -> list[str]:
        page = staff.get(reverse("health:widget", args=[name]), headers={"HX-Request": "true"})
        table = page.content.decode().rpartition("<tbody>")[2]
        return [
            " ".join(strip_tags(row.replace("<", " <").replace("&nbsp;", " ")).split())
            for row in table.split("</tr>")[:-1]
        ]

    assert rows("health.response_times") == [
        "Requests 3 40 ms 40 ms 40 ms 0 %",
        "Functions 2 20 ms 900 ms 900 ms 50 %",
        "Page loads 0 – – – –",  # noqa: RUF001
    ]
    assert rows("health.functions") == [
        "refund Shop Failing 1 20 ms 100 %",
        "scan Shop Healthy 1 900 ms 0 %",
    ]


def test_the_whole_page_takes_few_queries(
    staff: Client, django_assert_max_num_queries: Callable[..., object]
) -> None:
    make_component("database", status=Status.UNHEALTHY, required=True)
    for number in range(10):
        make_alert(key=f"k{number}", title=f"Problem {number}", severity=Severity.HIGH)
    record_measurements([Performance("checkout", 250)], app=make_app(), now=timezone.now())
    for tab in ("reliability", "business", "platform"):
        staff.get(f"{PAGE}?tab={tab}")

        with django_assert_max_num_queries(87):  # type: ignore[attr-defined]
            staff.get(f"{PAGE}?tab={tab}")


def headline(client: Client) -> str:
    card = client.get(PAGE).content.decode().partition('id="widget-health-verdict"')[2]
    return " ".join(strip_tags(card.partition("</section>")[0]).split())


def test_the_headline_names_the_responder_and_offers_one_action(staff: Client) -> None:
    now = timezone.now()
    alert = make_alert(title="Checkout is down", severity=Severity.CRITICAL, now=now)
    alert.respond_by = now + timedelta(minutes=10)
    alert.save()
    assert "Responder No one yet, due in" in headline(staff)
    assert "Acknowledge" in headline(staff)

    alert.respond_by = now - timedelta(minutes=1)
    alert.save()
    assert "No one has responded. Due 1 min ago" in headline(staff)

    staff.post(reverse("alerts:alert-acknowledge", args=[alert.pk]), {"next": PAGE})
    assert "Responder owner, just now" in headline(staff)
    assert "Acknowledge" not in headline(staff)
    assert "Open" in headline(staff)


def test_the_headline_names_the_most_likely_cause_of_the_problem(staff: Client) -> None:
    now = timezone.now()
    release = Release.objects.create(app=make_app("shop"), version="2.4.1")
    for ago, name in ((30, "staging"), (12, "production"), (1, "after")):
        Deploy.objects.create(
            release=release,
            environment=name,
            finished_at=now - timedelta(minutes=ago),
            source="api",
        )
    make_alert(title="Checkout is down", now=now - timedelta(minutes=5))

    assert "Possible cause Deploy of Shop 2.4.1 to production (7 min before)" in headline(staff)


def test_the_page_offers_no_acknowledgment_to_readers(client: Client) -> None:
    user = User.objects.create_user("reader", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__startswith="view_"))
    client.force_login(user)
    make_alert(title="Checkout is down")

    assert "Checkout is down" in headline(client)
    assert "Acknowledge" not in headline(client)
