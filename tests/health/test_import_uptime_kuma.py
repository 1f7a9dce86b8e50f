"""Test `manage.py import uptime-kuma`, which creates monitors and heartbeats from Uptime Kuma's monitors."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError
from django.utils import timezone

from alerts.models import Channel
from core.accounts.models import AuditEvent
from health.models import Component, Heartbeat, MaintenanceWindow, Monitor, Tier, Uptime
from tests.health.importing import run
from tests.health.kuma_database import KumaDatabase

pytestmark = pytest.mark.django_db
HOST = "93.184.215.14"  # An address that needs no name server.
SITE = f"https://{HOST}"


@pytest.fixture(params=[1, 2])
def kuma(request: pytest.FixtureRequest, tmp_path: Path) -> KumaDatabase:
    return KumaDatabase(tmp_path / "kuma.db", request.param)


@pytest.fixture
def kuma2(tmp_path: Path) -> KumaDatabase:
    return KumaDatabase(tmp_path / "kuma.db", 2)


def basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


# Maps each type to the columns of a row in Uptime Kuma and the fields of the imported monitor.
MONITORS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "http": (
        {
            "type": "http",
            "url": f"{SITE}/health",
            "interval": 300,
            "maxretries": 2,
            "accepted_statuscodes_json": '["200-299","404"]',
            "maxredirects": 0,
            "timeout": 10,
            "headers": '{"X-Key": "${k}"}',
            "basic_auth_user": "ann",
            "basic_auth_pass": "pw",
        },
        {
            "url": f"{SITE}/health",
            "interval_minutes": 5,
            "fail_after": 3,
            "recover_after": 1,
            "expected_status": "200-299,404",
            "follow_redirects": False,
            "timeout_seconds": 10,
            "headers": {"X-Key": "${k}", "Authorization": basic("ann", "pw")},
        },
    ),
    "post": (
        {"type": "http", "url": SITE, "method": "POST", "body": '{"a": 1}', "active": 0},
        {
            "method": "POST",
            "body": '{"a": 1}',
            "headers": {"Content-Type": "application/json"},
            "is_enabled": False,
        },
    ),
    "keyword": ({"type": "keyword", "url": SITE, "keyword": "Welcome"}, {"contains": "Welcome"}),
    "json": (
        {"type": "json-query", "url": SITE, "json_path": "$.status.text", "expected_value": "ok"},
        {"json_path": "status.text", "json_value": "ok"},
    ),
    "port": ({"type": "port", "hostname": HOST, "port": 8443}, {"url": f"tcp://{HOST}:8443"}),
    "ping": (
        {"type": "ping", "hostname": HOST, "upside_down": 1},
        {"url": f"ping://{HOST}", "is_inverted": True},
    ),
    "dns": (
        {
            "type": "dns",
            "hostname": "shop.example",
            "dns_resolve_type": "MX",
            "dns_resolve_server": "9.9.9.9",
        },
        {"url": "dns://shop.example", "record_type": "MX", "resolver": "9.9.9.9"},
    ),
    "postgres": (
        {
            "type": "postgres",
            "database_connection_string": f"postgres://ann:p%40w@{HOST}:5432/shop?sslmode=require",
            "database_query": "SELECT 1",
        },
        {
            "url": f"postgresql://{HOST}:5432/shop",
            "username": "ann",
            "password": "p@w",
            "query": "SELECT 1",
            "requires_tls": True,
        },
    ),
    "redis": (
        {"type": "redis", "database_connection_string": f"redis://:pw@{HOST}:6379"},
        {"url": f"redis://{HOST}:6379", "password": "pw"},
    ),
}


@pytest.mark.parametrize("case", MONITORS)
def test_a_monitor_keeps_its_name_interval_and_request(kuma: KumaDatabase, case: str) -> None:
    given, expected = MONITORS[case]
    number = kuma.add("monitor", name=f"My {case}", **{"interval": 60, **given})

    run("uptime-kuma", str(kuma.path), "--yes")

    monitor = Monitor.objects.get()
    assert (monitor.name, monitor.title) == (f"kuma-{number}-my-{case}", f"My {case}")
    assert {name: getattr(monitor, name) for name in expected} == expected


def test_columns_of_version_2_are_read(kuma2: KumaDatabase) -> None:
    kuma2.add(
        "monitor",
        name="Mail",
        type="smtp",
        hostname=HOST,
        port=587,
        smtp_security="starttls",
        interval=60,
    )
    kuma2.add("monitor", name="Token", type="http", url=SITE, bearer_token="t0k", interval=60)

    run("uptime-kuma", str(kuma2.path), "--yes")

    mail, token = Monitor.objects.order_by("title")
    assert (mail.url, mail.requires_tls) == (f"smtp://{HOST}:587", True)
    assert token.headers == {"Authorization": "Bearer t0k"}


def test_groups_and_tags_are_kept(kuma: KumaDatabase) -> None:
    outer = kuma.add("monitor", name="Europe", type="group")
    inner = kuma.add("monitor", name="Shop", type="group", parent=outer)
    first = kuma.add("monitor", name="A", type="http", url=SITE, parent=inner)
    second = kuma.add("monitor", name="B", type="http", url=SITE)
    kuma.add("tag", id=1, name="team", color="#fff")
    kuma.add("tag", id=2, name="eu", color="#fff")
    kuma.add("monitor_tag", monitor_id=first, tag_id=1, value="web")
    kuma.add("monitor_tag", monitor_id=first, tag_id=2, value="")
    kuma.add("group", id=7, name="Public services", public=1)
    kuma.add("monitor_group", monitor_id=second, group_id=7)

    run("uptime-kuma", str(kuma.path), "--yes")

    a, b = Monitor.objects.order_by("title")
    assert (a.group, a.is_public) == ("Europe / Shop", False)
    assert {tag.strip() for tag in a.tags.split(",")} == {"team:web", "eu"}
    assert (b.group, b.is_public) == ("Public services", True)


def test_a_push_monitor_becomes_a_heartbeat(kuma: KumaDatabase) -> None:
    kuma.add("monitor", name="Cron", type="push", interval=3600, push_token="abc")

    shown = run("uptime-kuma", str(kuma.path), "--yes")

    heartbeat = Heartbeat.objects.get()
    assert (heartbeat.title, heartbeat.schedule) == ("Cron", "every 60 min")
    assert "Cron: its push URL changes" in shown


def test_the_history_of_single_results_is_added_up(tmp_path: Path) -> None:
    kuma = KumaDatabase(tmp_path / "kuma.db", 1)
    number = kuma.add("monitor", name="A", type="http", url=SITE)
    now = timezone.now()
    hour = (now - timedelta(days=2)).replace(hour=10, minute=0, second=0, microsecond=0)
    for minute, status, ping in (
        (0, 1, 100),
        (1, 1, 300),
        (2, 0, None),
        (3, 2, None),
        (4, 3, None),
    ):
        kuma.beat(number, hour + timedelta(minutes=minute), status, ping)
    kuma.beat(number, hour + timedelta(hours=1), 1, 50)
    kuma.beat(number, hour - timedelta(days=60), 1, 50)
    kuma.beat(number, hour - timedelta(days=500), 1, 50)

    run("uptime-kuma", str(kuma.path), "--yes")

    points = Uptime.objects.filter(component__title="A")
    first = points.get(tier=Tier.HOUR, start=hour)
    assert (first.healthy, first.unhealthy, first.maintenance) == (2, 1, 1)
    assert (first.total_ms, first.highest_ms) == (400, 300)
    assert points.get(tier=Tier.DAY, start=hour.replace(hour=0)).healthy == 3
    assert points.filter(tier=Tier.HOUR).count() == 2
    assert points.filter(tier=Tier.DAY).count() == 2


def test_the_statistics_of_version_2_are_imported(kuma2: KumaDatabase) -> None:
    number = kuma2.add("monitor", name="A", type="http", url=SITE)
    day = timezone.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    day -= timedelta(days=100)
    kuma2.add(
        "stat_daily",
        monitor_id=number,
        timestamp=int(day.timestamp()),
        ping=20,
        ping_max=90,
        up=1400,
        down=10,
        extras='{"maintenance": 30}',
    )

    run("uptime-kuma", str(kuma2.path), "--yes")

    point = Uptime.objects.get()
    assert (point.tier, point.start, point.healthy, point.unhealthy) == (Tier.DAY, day, 1400, 10)
    assert (point.maintenance, point.total_ms, point.highest_ms) == (30, 28_000, 90)


def test_objects_that_cannot_be_imported_are_listed_and_the_rest_is_imported(
    kuma: KumaDatabase,
) -> None:
    kuma.add("monitor", name="Docker", type="docker")
    kuma.add(
        "monitor",
        name="Fast",
        type="http",
        url=SITE,
        interval=20,
        timeout=40,
        ignore_tls=1,
        proxy_id=1,
    )
    kuma.add(
        "monitor", name="Not there", type="keyword", url=SITE, keyword="Error", invert_keyword=1
    )
    kuma.add("monitor", name="Ntlm", type="http", url=SITE, auth_method="ntlm", description="Old")
    kuma.add(
        "monitor",
        name="Query",
        type="json-query",
        url=SITE,
        json_path="$sum(a)",
        expected_value="1",
    )
    kuma.add("monitor", name="Lan", type="http", url="http://192.168.1.5/")
    kuma.add("monitor", name="Nothing", type="port")
    kuma.add("proxy", protocol="http", host="proxy.example")
    kuma.add("notification", name="Bot", user_id=1, config='{"type": "gotify"}')
    kuma.add("maintenance", title="Nightly", description="", strategy="cron")

    shown = run("uptime-kuma", str(kuma.path), "--yes")

    for text in (
        "Docker: monitors of the type docker are not supported.",
        "Fast: the interval is 1 min instead of 20 s.",
        "Fast: the time limit is 15 s instead of 40 s.",
        "Fast: certificates are always verified",
        "Fast: its proxy is not imported.",
        "Not there: the check that the body does not contain “Error” is not imported.",
        "Ntlm: its sign-in (ntlm) is not imported.",
        "Ntlm: its description is not imported.",
        "Query: its JSON query (sum(a) == 1) is not imported.",
        "192.168.1.5, which is not a public address",
        "Nothing: it is not imported: it has no host.",
        "Proxies are not imported (1).",
        "Bot: notifications of the type gotify are not supported.",
        "Nightly: maintenance of the type cron is not imported",
    ):
        assert text in shown
    assert {monitor.title for monitor in Monitor.objects.all()} == {
        "Fast",
        "Not there",
        "Ntlm",
        "Query",
    }


def test_channels_and_maintenance_windows_are_imported(kuma: KumaDatabase) -> None:
    number = kuma.add("monitor", name="A", type="http", url=SITE)
    config = {"type": "slack", "slackwebhookURL": f"{SITE}/services/secret"}
    kuma.add("notification", name="Ops", user_id=1, is_default=1, config=json.dumps(config))
    kuma.add(
        "maintenance",
        id=3,
        title="Move",
        description="We move.",
        start_date="2090-07-01 10:00:00",
        end_date="2090-07-01 12:00:00",
        timezone="Europe/Berlin",
    )
    kuma.add("monitor_maintenance", monitor_id=number, maintenance_id=3)

    shown = run("uptime-kuma", str(kuma.path), "--yes")

    channel = Channel.objects.get(name="Ops (kuma)")
    assert (channel.kind, channel.gets_every_type) == ("slack", True)
    assert channel.config == {"webhook_url": f"{SITE}/services/secret"}
    assert "secret" not in shown
    window = MaintenanceWindow.objects.get()
    assert window.starts_at == datetime(2090, 7, 1, 8, tzinfo=UTC)
    assert [one.title for one in window.components.all()] == ["A"]


def test_a_dry_run_shows_all_changes_and_makes_none(kuma: KumaDatabase) -> None:
    number = kuma.add("monitor", name="A", type="http", url=SITE)
    kuma.beat(number, timezone.now() - timedelta(hours=3), 1, 5)

    shown = run("uptime-kuma", str(kuma.path), "--dry-run")

    assert f"+ monitors “kuma-{number}-a”" in shown
    assert "History: 2 hours and days of 1 components." in shown
    assert not Monitor.objects.exists()
    assert not AuditEvent.objects.exists()
    with pytest.raises(CommandError, match="add --yes"):
        run("uptime-kuma", str(kuma.path))
    assert not Monitor.objects.exists()


def test_a_second_import_changes_nothing(kuma: KumaDatabase) -> None:
    number = kuma.add(
        "monitor", name="A", type="http", url=SITE, headers='{"X-Key": "s"}', interval=60
    )
    kuma.add("monitor", name="Cron", type="push", interval=3600)
    kuma.beat(number, timezone.now() - timedelta(hours=3), 1, 5)
    run("uptime-kuma", str(kuma.path), "--yes")

    shown = run("uptime-kuma", str(kuma.path), "--yes")

    assert "0 to create, 0 to change, 0 to delete, 2 unchanged" in shown
    assert "imported, with 0 hours and days of history" in shown
    assert Component.objects.filter(name__startswith="kuma-").count() == 2


def test_a_json_backup_can_be_imported(tmp_path: Path) -> None:
    backup = {
        "version": "1.23.9",
        "notificationList": [
            {
                "name": "Ops",
                "isDefault": True,
                "config": json.dumps({"type": "slack", "slackwebhookURL": f"{SITE}/s"}),
            }
        ],
        "monitorList": [
            {
                "id": 4,
                "name": "Shop",
                "type": "keyword",
                "url": SITE,
                "interval": 120,
                "maxretries": 1,
                "keyword": "Cart",
                "accepted_statuscodes": ["200"],
                "ignoreTls": False,
                "upsideDown": True,
                "maxredirects": 10,
                "headers": None,
                "tags": [{"name": "eu", "value": ""}],
                "notificationIDList": {"1": True},
            }
        ],
    }
    path = tmp_path / "backup.json"
    path.write_text(json.dumps(backup))

    shown = run("uptime-kuma", str(path), "--yes")

    monitor = Monitor.objects.get()
    assert (monitor.title, monitor.interval_minutes, monitor.fail_after) == ("Shop", 2, 2)
    assert (monitor.contains, monitor.expected_status, monitor.tags) == (
        "Cart",
        "200",
        "eu",
    )
    assert monitor.is_inverted
    assert Channel.objects.filter(name="Ops (kuma)", gets_every_type=True).exists()
    assert "A backup has no history" in shown


@pytest.mark.parametrize("system", ["uptime-kuma", "healthchecks"])
@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b"SQLite format 3\0garbage", b"\xff\xfe"])
def test_another_file_is_refused(tmp_path: Path, system: str, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)

    with pytest.raises(CommandError, match="file"):
        run(system, str(path), "--yes")
