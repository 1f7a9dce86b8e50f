"""Test that the admin checks forms while users fill them in, by the same rules as when the forms are saved."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import CheckConstraint, Expression, F
from django.test import Client, RequestFactory
from django.urls import reverse

from core.accounts.models import AuditEvent
from core.accounts.services.roles import Role, ensure_roles
from core.clients.models import ClientApp
from core.lib.admin import LogAdmin, PortalAdmin
from core.lib.form_check import CHECK_HEADER
from reservations.models import Event, TicketType
from tests.factories import make_event, make_ticket_type

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("olivia"))
    return client


def check(client: Client, path: str, **fields: str) -> dict[str, list[str]]:
    response = client.post(path, fields, headers={CHECK_HEADER: "1"})
    assert response.status_code == 200, response.content
    errors: dict[str, list[str]] = response.json()["errors"]
    return errors


def test_a_check_names_each_invalid_field_and_saves_nothing(owner: Client) -> None:
    path = reverse("admin:clients_clientapp_add")
    valid = {
        "name": "Shop", "slug": "shop", "platform": "python", "retention_days": "30",
        "events_per_second": "50", "logs_per_minute": "1000",
    }  # fmt: skip

    assert check(owner, path, **valid) == {}
    wrong = check(owner, path, **{**valid, "slug": "the shop", "allowed_origins": "shop"})
    assert set(wrong) == {"slug", "allowed_origins"}
    assert "is not an origin" in wrong["allowed_origins"][0]
    assert not ClientApp.objects.filter(slug="shop").exists()
    assert not AuditEvent.objects.filter(action__contains="clientapp").exists()


def test_a_check_finds_violations_that_only_the_database_detects(owner: Client) -> None:
    ClientApp.objects.create(name="Shop", slug="shop")

    errors = check(owner, reverse("admin:clients_clientapp_add"), name="Shop", slug="shop")

    assert "already exists" in errors["slug"][0]


def test_a_check_covers_the_rows_within_a_form(owner: Client) -> None:
    ticket_type = make_ticket_type(5, event=make_event("gala"))
    path = reverse("admin:reservations_event_change", args=[ticket_type.event_id])
    rows = {
        "ticket_types-TOTAL_FORMS": "1",
        "ticket_types-INITIAL_FORMS": "1",
        "ticket_types-0-id": str(ticket_type.pk),
        "ticket_types-0-event": str(ticket_type.event_id),
        "ticket_types-0-price": "12.345",
        "ticket_types-0-currency": "EUR",
        "ticket_types-0-offer_minutes": "2",
    }

    errors = check(owner, path, name="Gala", slug="gala", hold_minutes="500", **rows)

    assert errors["hold_minutes"] == ["Enter 1 to 120 minutes."]
    assert errors["ticket_types-0-price"] == ["Amounts in EUR can have at most 2 decimals."]
    assert errors["ticket_types-0-name"] == ["This field is required."]


def test_a_check_needs_the_permission_to_save(client: Client) -> None:
    ensure_roles()
    reader = User.objects.create_user("reader", is_staff=True)
    reader.groups.add(Group.objects.get(name=Role.READ_ONLY))
    client.force_login(reader)
    event = make_event("gala")

    for path in (
        reverse("admin:reservations_event_add"),
        reverse("admin:reservations_event_change", args=[event.pk]),
    ):
        assert client.post(path, headers={CHECK_HEADER: "1"}).status_code == 403
    assert Event.objects.count() == 1


def test_a_check_of_a_deleted_row_gets_a_404(owner: Client) -> None:
    path = reverse("admin:reservations_event_change", args=[987654])

    assert owner.post(path, headers={CHECK_HEADER: "1"}).status_code == 404


def test_prices_are_entered_and_shown_as_decimals_of_their_currency(owner: Client) -> None:
    yen = make_ticket_type(5, event=make_event("gala"), price=2500, currency="JPY")
    path = reverse("admin:reservations_event_change", args=[yen.event_id])
    form = {
        "name": "Gala", "slug": "gala", "hold_minutes": "15", "max_outage_minutes": "60",
        "ticket_types-TOTAL_FORMS": "2", "ticket_types-INITIAL_FORMS": "1",
        "ticket_types-0-id": str(yen.pk), "ticket_types-0-event": str(yen.event_id),
        "ticket_types-0-name": yen.name, "ticket_types-0-capacity": "5",
        "ticket_types-0-price": "2600", "ticket_types-0-currency": "JPY", "ticket_types-0-offer_minutes": "30",
        "ticket_types-1-name": "Standing", "ticket_types-1-capacity": "5",
        "ticket_types-1-price": "25.50", "ticket_types-1-currency": "eur", "ticket_types-1-offer_minutes": "30",
    }  # fmt: skip

    assert 'value="2500"' in owner.get(path).content.decode()
    refused = owner.post(path, {**form, "ticket_types-0-price": "2600.50"}).content.decode()
    assert "Amounts in JPY cannot have decimals." in refused
    assert owner.post(path, form).status_code == 302
    assert sorted(TicketType.objects.values_list("price", "currency")) == [
        (2550, "EUR"),
        (2600, "JPY"),
    ]
    assert 'value="25.50"' in owner.get(path).content.decode()


def test_readers_see_prices_as_amounts(client: Client) -> None:
    ensure_roles()
    reader = User.objects.create_user("reader", is_staff=True)
    reader.groups.add(Group.objects.get(name=Role.READ_ONLY))
    client.force_login(reader)
    ticket_type = make_ticket_type(5, event=make_event("gala"))

    page = client.get(reverse("admin:reservations_event_change", args=[ticket_type.event_id]))

    assert "25.00 EUR" in page.content.decode()
    assert "2500" not in page.content.decode()


def test_each_constraint_that_staff_can_break_has_a_message_at_its_field() -> None:
    request = RequestFactory().get("/")
    request.user = User.objects.create_superuser("olivia")
    missing = []
    for model, model_admin in admin.site._registry.items():
        if not isinstance(model_admin, PortalAdmin) or isinstance(model_admin, LogAdmin):
            continue
        if not model_admin.has_add_permission(request) or model._meta.label == "alerts.Channel":
            continue  # A channel's form depends on its kind, and no constraint of its table can be broken.
        forms = [(model, model_admin, model_admin.get_form(request))]
        forms += [
            (formset.model, inline, formset.form)
            for formset, inline in model_admin.get_formsets_with_inlines(request)
        ]
        for one, owner_of_messages, form in forms:
            for constraint in one._meta.constraints:
                if not isinstance(constraint, CheckConstraint):
                    continue
                fields = _fields_of(constraint.condition)
                name = constraint.name
                known = getattr(owner_of_messages, "constraint_messages", {})
                if fields <= set(form.base_fields) and name not in known:
                    missing.append(f"{one._meta.label}: {name}")
                elif name in known:
                    assert known[name][0] in form.base_fields, name

    assert missing == []


def _fields_of(condition: object) -> set[str]:
    """Return the names of the fields that the condition of a constraint refers to."""
    found: set[str] = set()
    for child in getattr(condition, "children", ()):
        if isinstance(child, tuple):
            found.add(child[0].split("__")[0])
            parts = child[1].flatten() if isinstance(child[1], Expression) else [child[1]]
            found |= {part.deconstruct()[1][0] for part in parts if isinstance(part, F)}
        else:
            found |= _fields_of(child)
    return found
