"""Test that a user who is limited to the apps of a team sees and changes no data of other apps, on any page.

Two apps have equal rows, except for a mark in all texts. The tests request every page as the limited user, with the
other app's ids in the URL, and no page may contain the other app's mark.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import NoReverseMatch, reverse

from alerts.models import Person, Team
from core.lib.app_access import condition_of
from tests.security.paths import named_paths
from tests.security.rows_of_apps import Rows, make_rows

pytestmark = [pytest.mark.django_db, pytest.mark.slow]
OWN, OTHER = "ownmark", "othermark"


@pytest.fixture
def rows() -> dict[str, Rows]:
    return {mark: make_rows(mark) for mark in (OWN, OTHER)}


@pytest.fixture
def limited(rows: dict[str, Rows]) -> User:
    """Return a user with all permissions except `see_every_app`, whose team has one of the two apps."""
    user = member_of_team("limited", rows[OWN]["clients.ClientApp"])
    user.user_permissions.set(Permission.objects.exclude(codename="see_every_app"))
    return user


def member_of_team(name: str, *of: Any) -> User:
    user = User.objects.create_user(name, is_staff=True)
    team = Team.objects.create(name=f"Team of {name}")
    team.people.add(Person.objects.create(name=name, user=user))
    team.apps.set(of)
    return user


def browser(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def arguments_of(name: str, names: tuple[str, ...], rows: Rows) -> dict[str, object]:
    """Return the arguments of a view, with ids of those `rows` that the names of the view and its arguments select."""
    label = {
        "clients:api-key-rotate": "clients.ApiKey",
        "clients:api-key-revoke": "clients.ApiKey",
        "clients:dsn-key-rotate": "clients.ClientKey",
        "clients:dsn-key-revoke": "clients.ClientKey",
        "payments:mismatch-settle": "payments.Mismatch",
        "alerts:notification-resend": "alerts.Notification",
        "impact:list": "impact.WinBackList",
        "impact:list-csv": "impact.WinBackList",
    }.get(name)
    space = name.partition(":")[0]
    of_space = {
        "alerts": {"pk": rows["alerts.SystemAlert"].pk},
        "payments": {"pk": rows["payments.WebhookEvent"].pk, "reference": rows["payments.Payment"].uuid},
        "reservations": {
            "pk": rows["reservations.Discrepancy"].pk,
            "reference": rows["reservations.Reservation"].uuid,
            "slug": rows["reservations.TicketType"].event.slug,
        },
        "impact": {"kind": "group", "id": rows["errors.ErrorGroup"].pk},
    }.get(space, {})  # fmt: skip
    known: dict[str, object] = {
        "app_id": rows["clients.ClientApp"].pk,
        "group_id": rows["errors.ErrorGroup"].pk,
        "event_id": rows["errors.ErrorEvent"].pk,
        "release_id": rows["releases.Release"].pk,
        "kind": "browser_extensions",
        "batch": "8e0b3f0c-9f0d-4b7e-8e57-5a0a4a2f0001",
        **of_space,
    }
    if label is not None:
        known |= {"pk": rows[label].pk, "key_id": rows[label].pk}
    if space == "admin" and "_" in name:
        app, model, *_ = name.removeprefix("admin:").split("_")
        row = next((row for key, row in rows.items() if key.lower() == f"{app}.{model}"), None)
        known |= {"object_id": row.pk, "pk": row.pk} if row is not None else {}
    return {one: known[one] for one in names if one in known}


def pages(rows: Rows) -> Iterator[str]:
    """Yield the path of every page, with ids from `rows` as its arguments."""
    for name, names in named_paths():
        if name in ("admin:logout", "admin:login"):
            continue
        try:
            yield reverse(name, kwargs=arguments_of(name, names, rows))
        except NoReverseMatch:  # Skip views about a row that belongs to no app.
            continue
    for query in ("", "?tab=business", "?tab=platform", "?all=1", "?wall=1"):
        yield f"/admin/system-health/{query}"
    for path in ("errors", "alerts", "logs"):
        yield f"/admin/{path}/complete/?q=app:"
        yield f"/admin/{path}/?state=all"
    for key in ("env", "release", "type", "source", "shelf"):
        yield f"/admin/errors/complete/?q={key}:"
        yield f"/admin/alerts/complete/?q={key}:"
    for by in ("source", "cause"):
        yield f"/admin/alerts/?by={by}&state=all"
    yield "/admin/system-health/interval/?since=0&until=2600000"


def text_of(response: Any) -> str:
    content = b"".join(response) if response.streaming else response.content
    return str(content.decode(errors="replace"))


# Models whose rows belong to no app. core/lib/app_access.py must know how every other model leads to its app.
SHARED = {
    "access": "AccessPolicy AuditEvent IdentityProvider Passkey RecoveryCode UserSession",
    "account": "EmailAddress EmailConfirmation",
    "admin": "LogEntry",
    "alerts": "AlertRule AlertType Channel ChannelTest Dependency DigestMention DigestRun EscalationStep"
    " NotificationRule Person Rotation RotationMember RuleAdvice RuleReading Schedule ScheduleOverride Silence Team",
    "auth": "Group Permission User",
    "clients": "PersonalToken",
    "contenttypes": "ContentType",
    "django_q": "Failure OrmQ Schedule Success Task",
    "errors": "ReleaseCursor ResolvedStack StoredContent",
    "health": "Backup MaintenanceNotice MaintenanceWindow StatusPage Subscriber",
    # Orders are shown only on the pages of problems, which belong to an app.
    "impact": "Change Erasure FurtherAmount Order OrderReference ProblemReference Touch WinBackEntry WinBackList",
    "jobs": "Job JobRun Node",
    "otp_totp": "TOTPDevice",
    "payments": "ProviderOutage ReconciliationRun RefusedDelivery",
    "reservations": "Cancellation Cleanup Event TicketType",
    "sessions": "Session",
    "socialaccount": "SocialAccount SocialApp SocialToken",
}


def test_the_rows_of_each_model_belong_to_an_app_or_are_shared() -> None:
    shared = [
        model._meta.label
        for model in apps.get_models()
        if condition_of(model, frozenset([0])) is None
    ]
    listed = [f"{app}.{name}" for app, names in SHARED.items() for name in names.split()]
    assert sorted(shared) == sorted(listed)


def test_a_limited_user_sees_no_data_of_other_apps(limited: User, rows: dict[str, Rows]) -> None:
    client = browser(limited)
    seen = {}
    for path in pages(rows[OTHER]):
        response = client.get(path)
        assert response.status_code != 500, path
        if OTHER in text_of(response):
            seen[path] = response.status_code
    assert sorted(seen) == []


def test_the_same_pages_show_the_rows_to_an_unlimited_user(rows: dict[str, Rows]) -> None:
    """Test that an unlimited user sees the rows on the pages, without which the previous test would prove nothing."""
    client = browser(User.objects.create_superuser("owner"))

    shown = [path for path in pages(rows[OTHER]) if OTHER in text_of(client.get(path))]

    assert len(shown) > 110


@pytest.mark.parametrize("action", ["resolve", "acknowledge", "delete_selected", ""])
def test_a_limited_user_changes_no_data_of_other_apps(
    limited: User, rows: dict[str, Rows], action: str
) -> None:
    client = browser(limited)
    others = rows[OTHER]
    before = {label: stored(row) for label, row in others.items()}
    body = {
        "action": action,
        "group": others["errors.ErrorGroup"].pk,
        "alert": others["alerts.SystemAlert"].pk,
        "post": "yes",
        "when": "now",
    }

    seen = []
    for path in pages(others):
        # Runs the checks of the whole portal, which belong to no app.
        if path == reverse("alerts:check-run-now"):
            continue
        selected = next(
            (
                row.pk
                for label, row in others.items()
                if f"/{label.replace('.', '/').lower()}/" in path
            ),
            0,
        )
        response = client.post(path, {**body, "_selected_action": selected})
        assert response.status_code != 500, path
        if OTHER in text_of(response):
            seen.append(path)

    assert seen == []
    after = {
        label: stored(row) for label, row in others.items() if label != "reservations.TicketType"
    }
    assert [label for label in after if after[label] != before[label]] == []


def stored(row: Any) -> dict[str, Any] | None:
    found: dict[str, Any] | None = type(row)._base_manager.filter(pk=row.pk).values().first()
    return found
