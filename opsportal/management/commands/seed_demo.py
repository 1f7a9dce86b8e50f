"""Create the demo shop: its apps, keys, tickets, on-call schedule and status page.

The apps and keys are printed as one line of JSON.
"""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone

from alerts.models import Person, Rotation, RotationMember, Schedule
from core.clients.models import ApiKey, ClientApp, ClientKey, Platform, Scope, hash_secret
from core.lib.prepare import prepare_node
from health.models import Component
from health.services.checks import sync_components
from reservations.models import Event, TicketType

APPS = [
    ("shop", "Shop site", Platform.PYTHON),
    ("gate", "Ticket gate", Platform.OTHER),
]
TICKETS = [
    # An event, its slug, and its ticket types with name, capacity and price in cents.
    ("Harbour Lights Festival", "harbour-lights", [("Day ticket", 400, 4500), ("VIP", 40, 14900)]),
    (
        "Night at the Museum",
        "night-at-the-museum",
        [("Entry", 250, 1800), ("Guided tour", 30, 3200)],
    ),
]
# This ticket type is sold out from the start and has a waiting list.
SOLD_OUT = ("harbour-lights", "Backstage tour", 9500)


ON_CALL = ("Shop engineer", "Platform engineer")

HOLD_MINUTES = 5  # Short, so that visitors of the demo see an unpaid order expire.


class Command(BaseCommand):
    help = "Create the apps, keys, tickets, on-call schedule and status page of the demo shop, unless they exist."

    def handle(self, *args: Any, **options: Any) -> None:
        prepare_node(timezone.now())
        kept = Path(settings.DATA_DIR) / "demo.json"
        known = json.loads(kept.read_text()) if kept.exists() else {}
        seeded = {
            slug: self._app(slug, name, platform, known.get(slug, {}))
            for slug, name, platform in APPS
        }
        self._tickets()
        self._on_call()
        self._status_page()
        with open(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(seeded, file)
        self.stdout.write(json.dumps(seeded))

    def _app(self, slug: str, name: str, platform: str, known: dict[str, Any]) -> dict[str, Any]:
        """Return the id and the keys of an app. Create the app and its keys if they do not exist.

        `known` contains the stored secrets, because the database stores only a hash of an API key.
        """
        app, _ = ClientApp.objects.get_or_create(
            slug=slug, defaults={"name": name, "platform": platform}
        )
        key = ClientKey.objects.live().filter(app=app).first() or ClientKey.objects.create(app=app)
        secret = known.get("api_key", "")
        if not ApiKey.objects.filter(key_hash=hash_secret(secret), revoked_at=None).exists():
            scopes = [str(s) for s in Scope if s != Scope.ADMIN]
            _, secret = ApiKey.issue(app=app, scopes=scopes, label="demonstration")
        return {"id": app.pk, "dsn_key": key.public_key, "api_key": secret}

    def _on_call(self) -> None:
        """Create a schedule in which two people take turns, so that the on-call pages are not empty."""
        schedule, is_new = Schedule.objects.get_or_create(
            name="Primary", defaults={"description": "Takes the first call"}
        )
        if not is_new:
            return
        # Start on Monday of the previous week, because a shift starts some hours after midnight.
        monday = timezone.localdate() - timedelta(days=timezone.localdate().weekday() + 7)
        rotation = Rotation.objects.create(schedule=schedule, name="Weekly", first_day=monday)
        for position, name in enumerate(ON_CALL, start=1):
            person, _ = Person.objects.get_or_create(name=name)
            RotationMember.objects.create(rotation=rotation, person=person, position=position)

    def _status_page(self) -> None:
        """Put the components that the shop's buyers depend on onto the public status page."""
        components = sync_components()
        for name in ("reservations", "payments"):
            Component.objects.filter(pk=components[name].pk).update(
                is_public=True, group="Ticket shop"
            )

    def _tickets(self) -> None:
        starts_at = timezone.now() + timedelta(days=30)
        for name, slug, types in TICKETS:
            event, _ = Event.objects.get_or_create(
                slug=slug,
                defaults={"name": name, "starts_at": starts_at, "hold_minutes": HOLD_MINUTES},
            )
            for type_name, capacity, price in types:
                TicketType.objects.get_or_create(
                    event=event,
                    name=type_name,
                    defaults={"capacity": capacity, "price": price, "currency": "EUR"},
                )
        slug, name, price = SOLD_OUT
        TicketType.objects.get_or_create(
            event=Event.objects.get(slug=slug),
            name=name,
            defaults={"capacity": 0, "price": price, "has_waiting_list": True},
        )
