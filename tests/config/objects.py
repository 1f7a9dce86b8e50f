"""Define an object of every configuration kind, with members that create it, a valid change and an invalid one."""

import base64
from typing import Any

from tests.factories import make_app

LOGO = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 999).decode()
# Objects of EXISTING kinds are part of every portal. Objects of KEPT kinds cannot be deleted.
EXISTING = ("checks",)
KEPT = ("checks", "status-pages")


def step(after: str, **targets: list[str]) -> dict[str, Any]:
    return {
        "after": after,
        "schedules": [],
        "people": [],
        "teams": [],
        "channels": [],
        **targets,
    }


# Maps a kind to the members of a new object, a valid change, and an invalid change with its invalid member.
OBJECTS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[dict[str, Any], str]]] = {
    "people": (
        {"name": "Ann Lee", "reference": "ann", "email": "ann@shop.example", "quiet_from": "22:00"},
        {"phone": "+491701234567", "quiet_until": "07:30", "time_zone": "Europe/Berlin"},
        ({"phone": "0170 1234567"}, "phone"),
    ),
    "teams": (
        {"name": "Web", "people": ["ann"]},
        {"name": "Website", "people": []},
        ({"people": ["bob"]}, "people"),
    ),
    "schedules": (
        {"name": "Primary", "description": "Takes the first call"},
        {"name": "First line", "time_zone": "Europe/Berlin"},
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
    ),
    "rotations": (
        {
            "reference": "primary-week",
            "schedule": "Primary",
            "name": "Weekly",
            "first_day": "2026-11-30",
            "handover_at": "09:30",
            "time_zone": "Europe/Berlin",
            "weekdays": [1, 2, 3, 4, 5],
            "members": [{"position": 1, "person": "ann"}],
        },
        {"every": 2, "unit": "day", "on_from": "08:00", "on_until": "20:00"},
        ({"members": [{"person": "bob"}]}, "members[0].person"),
    ),
    "overrides": (
        {
            "reference": "holiday",
            "schedule": "Primary",
            "person": "ann",
            "starts_at": "2026-12-01T01:00:00Z",
            "ends_at": "2026-12-02T01:00:00Z",
        },
        {"comment": "Holiday", "ends_at": "2026-12-03T01:00:00Z"},
        ({"ends_at": "2026-11-30T02:00:00Z"}, "ends_at"),
    ),
    "notification-rules": (
        {"reference": "ann-ops", "person": "ann", "channel": "Ops", "after": "3 min"},
        {"after": "10 min"},
        ({"after": "soon"}, "after"),
    ),
    "channels": (
        {
            "name": "Ops",
            "kind": "slack",
            "settings": {"webhook_url": "https://93.184.215.14/services/T0/B0/secret"},
        },
        {"max_per_minute": 5, "gets_every_type": False},
        ({"settings": {"webhook_url": "http://127.0.0.1/"}}, "settings.webhook_url"),
    ),
    "types": (
        {
            "slug": "shop-down",
            "name": "Shop down",
            "severity": "critical",
            "respond_within": "15 min",
            "channels": ["Ops"],
            "steps": [
                step("15 min", schedules=["Primary"]),
                step("1 h", people=["ann"], teams=["Web"], channels=["Ops"]),
            ],
        },
        {
            "steps": [
                step("30 min", teams=["Web"]),
                step("1 h", people=["ann"], channels=["Ops"]),
            ]
        },
        ({"steps": [{"after": "soon", "channels": ["Ops"]}]}, "steps[0].after"),
    ),
    "rules": (
        {
            "name": "custom.stock",
            "reader": "gauge: latest level, by app",
            "selector": "stock",
            "threshold": 10,
            "below": True,
            "alert_type": "shop-down",
        },
        {"window": "1 h", "critical_threshold": 2.5},
        ({"breaches_needed": 3, "out_of": 2}, "breaches_needed"),
    ),
    "monitors": (
        {
            "name": "checkout",
            "title": "Checkout",
            "url": "https://93.184.215.14/health",
            "app": "shop",
            "headers": {"Accept": "text/html", "Authorization": "Bearer s3cret"},
        },
        {"interval_minutes": 5, "is_public": True},
        ({"url": "ftp://shop.example"}, "url"),
    ),
    "heartbeats": (
        {"name": "invoices", "title": "Invoices", "app": "shop", "crontab": "0 3 * * *"},
        {"margin_minutes": 30, "time_zone": "Europe/Berlin"},
        ({"crontab": "at night"}, "crontab"),
    ),
    "silences": (
        {
            "reference": "upgrade",
            "comment": "Database upgrade",
            "matchers": {"source": "shop"},
            "starts_at": "2026-12-01T01:00:00Z",
            "ends_at": "2026-12-01T02:00:00Z",
        },
        {"recurrence": "weekly", "until": "2027-03-01T00:00:00Z"},
        ({"ends_at": "2026-11-30T02:00:00Z"}, "ends_at"),
    ),
    "checks": (
        {"name": "database"},
        {"is_public": True, "group": "Platform", "position": 3},
        ({"position": -1}, "position"),
    ),
    "status-pages": (
        {"reference": "main", "name": "Shop status", "accent_color": "#1f5fa8", "logo": LOGO},
        {"home_url": "https://shop.example", "logo": "", "dark_accent_color": "#9fc8ff"},
        ({"logo": "https://shop.example/logo.png"}, "logo"),
    ),
    "maintenance-windows": (
        {
            "reference": "move",
            "title": "Move",
            "starts_at": "2026-12-01T01:00:00Z",
            "ends_at": "2026-12-01T02:00:00Z",
            "components": ["checkout"],
        },
        {"components": ["checkout", "invoices"], "is_public": False},
        ({"components": ["nothing"]}, "components"),
    ),
    "incident-templates": (
        {
            "name": "Payments down",
            "title": "Payments fail",
            "component": "checkout",
            "text": "Our payment provider has an outage.",
        },
        {"state": "identified", "is_major": True},
        ({"text": ""}, "text"),
    ),
    "incidents": (
        {
            "reference": "payments-fail",
            "title": "Payments fail",
            "component": "checkout",
            "started_at": "2026-11-22T14:00:00Z",
            "updates": [
                {"at": "2026-11-22T14:05:00Z", "state": "identified", "text": "Card payments fail."}
            ],
        },
        {
            "updates": [
                {
                    "at": "2026-11-22T14:05:00Z",
                    "state": "identified",
                    "text": "Card payments fail.",
                },
                {"at": "2026-11-22T15:00:00Z", "state": "resolved", "text": "Cards work again."},
            ]
        },
        (
            {"updates": [{"at": "2026-11-22T14:05:00Z", "state": "identified", "text": ""}]},
            "updates[0].text",
        ),
    ),
}


def make_prerequisites() -> None:
    make_app("shop")
