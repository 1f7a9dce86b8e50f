"""Sign in as staff, and create payments and events for the staff pages."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from core.accounts.services.roles import ensure_roles
from payments.models import Payment, WebhookEvent
from tests.factories import (
    make_payment,
    make_webhook_event,
)
from tests.payments.stripe_double import StripeDouble


def signed_in(role: str = "") -> Client:
    ensure_roles()
    user = User.objects.create_user("ann", is_staff=True, is_superuser=not role)
    if role:
        user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def stuck_payment() -> Payment:
    long_ago = timezone.now() - timedelta(minutes=10)
    return make_payment(
        state="started", status="asked", intent_id=None, order_id="o-77", now=long_ago
    )


def paid(stripe: StripeDouble) -> Payment:
    intent = stripe.post("/v1/payment_intents", amount=2500, currency="eur")
    stripe.pay(intent["id"])
    return make_payment(intent_id=intent["id"], order_id="o-1")


def dead_event(**fields: Any) -> WebhookEvent:
    given = {"payload": {"id": "pi_1"}, "state": "dead", "outcome": "unreadable", **fields}
    return make_webhook_event(**given)


def page(client: Client, name: str, *args: object) -> str:
    response = client.get(reverse(name, args=args))
    assert response.status_code == 200
    return response.content.decode()
