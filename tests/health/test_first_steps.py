"""Test that a new portal's checklist derives the completed steps from the data, and ends when all steps are done."""

import re
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.test import Client

from alerts.models import Channel, ChannelTest
from core.clients.models import ClientApp
from core.lib.first_steps import first_steps
from errors.models import ErrorGroup, Severity
from tests.factories import make_app, make_component, make_monitor

pytestmark = pytest.mark.django_db
PAGE = "/admin/system-health/"
WIDGET = "/admin/system-health/widgets/health.first_steps/"
DISMISS = "/admin/system-health/first-steps/dismiss/"
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_user("owner", is_staff=True, is_superuser=True))
    return client


@pytest.fixture(autouse=True)
def no_channels(db: None) -> None:
    Channel.objects.all().delete()


def report_error(app: ClientApp) -> None:
    ErrorGroup.objects.create(
        app=app, title="Fault", severity=Severity.HIGH, first_seen_at=NOW, last_seen_at=NOW
    )


def add_channel(**fields: object) -> Channel:
    config = {"webhook_url": "https://chat.example/hook"}
    return Channel.objects.create(name="team", kind="slack", config=config, **fields)


def test_an_error_of_an_app_completes_the_first_step() -> None:
    is_done = first_steps.get("errors.first_error").is_done
    report_error(make_app(ClientApp.PORTAL_SLUG))
    assert not is_done()

    report_error(make_app("shop"))

    assert is_done()


def test_the_channel_step_is_done_once_a_channel_has_delivered_a_message() -> None:
    is_done = first_steps.get("alerts.channel").is_done
    channel = add_channel()
    assert not is_done()

    Channel.objects.filter(pk=channel.pk).update(last_success_at=NOW)

    assert is_done()


@pytest.mark.parametrize(("state", "expected"), [("delivered", True), ("refused", False)])
def test_a_test_of_the_channel_before_it_was_saved_counts(state: str, expected: bool) -> None:
    is_done = first_steps.get("alerts.channel").is_done
    ChannelTest.objects.create(name="team", kind="slack", state=state, created_at=NOW)
    assert not is_done()

    add_channel()

    assert is_done() is expected


def test_a_channel_that_gets_alerts_completes_the_recipients_step() -> None:
    is_done = first_steps.get("alerts.recipients").is_done
    channel = add_channel()
    assert not is_done()

    Channel.objects.filter(pk=channel.pk).update(gets_every_type=True)
    assert is_done()

    Channel.objects.filter(pk=channel.pk).update(is_enabled=False)
    assert not is_done()


def test_an_enabled_monitor_completes_its_step() -> None:
    is_done = first_steps.get("health.monitor").is_done
    make_component("database", kind="check")
    assert not is_done()

    make_monitor("https://shop.example/")

    assert is_done()


def test_a_component_on_the_status_page_completes_its_step() -> None:
    is_done = first_steps.get("health.status_page").is_done
    monitor = make_monitor("https://shop.example/", is_public=False)
    assert not is_done()

    monitor.is_public = True
    monitor.save()

    assert is_done()


def complete_all() -> None:
    report_error(make_app("shop"))
    add_channel(gets_every_type=True, last_success_at=NOW)
    make_monitor("https://shop.example/", is_public=True)


def test_the_page_of_a_new_portal_lists_each_step_with_the_link_to_its_form(staff: Client) -> None:
    page = staff.get(PAGE).content.decode()

    assert "0 of 5 done" in page
    for step in first_steps:
        assert step.title in page
        assert f'href="{step.url}"' in page
        assert staff.get(step.url).status_code == 200


def test_a_completed_step_is_checked_when_the_list_refreshes(staff: Client) -> None:
    report_error(make_app("shop"))

    fragment = staff.get(WIDGET, headers={"HX-Request": "true"}).content.decode()

    assert "1 of 5 done" in fragment
    assert re.search(r"Report the first error of an app</span>\s*<span[^>]*>\(done\)", fragment)
    assert 'hx-trigger="every 10s' in fragment


def test_the_list_ends_when_all_steps_are_done(staff: Client) -> None:
    complete_all()

    assert staff.get(WIDGET, headers={"HX-Request": "true"}).content == b""
    assert "First steps" not in staff.get(PAGE).content.decode()
    assert staff.get(WIDGET).status_code == 200


def test_a_step_that_is_undone_returns_to_the_list_later(staff: Client) -> None:
    complete_all()
    assert "First steps" not in staff.get(PAGE).content.decode()
    Channel.objects.all().delete()

    # The completed steps are remembered in the cache for ten minutes.
    assert "First steps" not in staff.get(PAGE).content.decode()
    cache.clear()

    assert "3 of 5 done" in staff.get(PAGE).content.decode()


def test_a_dismissed_list_does_not_return(staff: Client) -> None:
    assert staff.get(DISMISS).status_code == 405

    answer = staff.post(DISMISS)

    assert answer.headers["Location"] == PAGE
    assert "First steps" not in staff.get(PAGE).content.decode()


def test_wall_mode_shows_no_list(staff: Client) -> None:
    assert "First steps" not in staff.get(f"{PAGE}?wall=1").content.decode()


@pytest.mark.parametrize(("codename", "shows"), [("add_monitor", True), ("view_component", False)])
def test_users_see_the_links_that_they_may_use(client: Client, codename: str, shows: bool) -> None:
    user = User.objects.create_user("reader", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename=codename))
    client.force_login(user)

    page = client.get(PAGE).content.decode()

    assert ("First steps" in page) is shows
    assert first_steps.get("alerts.channel").url not in re.findall(
        r'btn[^"]*" href="([^"]+)"', page
    )
