"""Test the fixtures and servers that all other tests rely on."""

import smtplib
from collections.abc import Callable
from email.message import EmailMessage

import httpx
import psycopg
import pytest
import redis
from django.conf import settings
from django.db import connection
from playwright.sync_api import Page
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.clients.models import ClientApp
from tests.browser.support import Watch, settled
from tests.servers.fake_http import FakeHTTP
from tests.servers.mail import MailServer
from tests.servers.portal import Portal
from tests.servers.postgres import PostgresServer
from tests.servers.redis_server import RedisServer


@pytest.mark.django_db
def test_a_row_can_be_written_to_the_test_database() -> None:
    ClientApp.objects.create(name="Gate", slug="gate")

    assert ClientApp.objects.get(slug="gate").is_active


@pytest.mark.django_db
def test_the_sqlite_database_is_a_file() -> None:
    if connection.vendor == "sqlite":
        assert str(settings.DATA_DIR) in str(connection.settings_dict["NAME"])


def test_a_real_postgresql_starts(postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.url()) as database:
        row = database.execute("SHOW server_version_num").fetchone()

    assert row
    assert int(row[0]) >= 130000


def test_a_real_redis_can_be_killed_and_started_again(redis_server: RedisServer) -> None:
    client = redis.Redis(port=redis_server.port, retry=Retry(NoBackoff(), 0))
    assert client.ping()

    redis_server.kill()
    with pytest.raises(redis.ConnectionError):
        client.ping()

    redis_server.start()
    assert client.ping()
    client.close()


def test_a_fake_service_answers_from_its_script(fake: FakeHTTP) -> None:
    fake.answer(500, times=2)
    fake.answer(200, json={"id": "x"}, path="/orders")

    statuses = [httpx.post(fake.url + "/orders", json={"n": n}).status_code for n in range(4)]

    assert statuses == [500, 500, 200, 200]
    assert [request.json()["n"] for request in fake.requests] == [0, 1, 2, 3]


def test_a_fake_service_can_drop_requests_and_refuse_connections(fake: FakeHTTP) -> None:
    fake.drop()
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(fake.url)

    fake.refuse()
    with pytest.raises(httpx.ConnectError):
        httpx.get(fake.url)

    fake.start()
    assert httpx.get(fake.url).status_code == 200


def test_a_fake_service_reads_chunked_bodies(fake: FakeHTTP) -> None:
    httpx.post(fake.url, content=(part for part in (b"one ", b"two")))

    assert fake.requests[0].body == b"one two"


def test_the_mail_server_keeps_e_mails(mail_server: MailServer) -> None:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Hello", "a@x.example", "b@x.example"
    mail.set_content("text")

    with smtplib.SMTP("127.0.0.1", mail_server.port) as client:
        client.send_message(mail)

    assert mail_server.wait_for(1)[0]["Subject"] == "Hello"


def test_the_portal_keeps_its_data_when_killed_and_restarted(portal: Portal) -> None:
    assert portal.client.get("/admin/", headers=portal.staff).status_code == 200
    app = portal.seeded.app_id
    assert portal.value("SELECT slug FROM clients_clientapp WHERE id = %s", (app,)) == "shop"

    portal.kill()
    with pytest.raises(httpx.TransportError):
        portal.client.get("/admin/")

    portal.restart()
    assert portal.client.get("/admin/", headers=portal.staff).status_code == 200


def test_two_portals_do_not_share_data(make_portal: Callable[..., Portal]) -> None:
    one, other = make_portal(), make_portal()

    one.rows("DELETE FROM clients_clientkey")

    assert one.value("SELECT count(*) FROM clients_clientkey") == 0
    assert other.value("SELECT count(*) FROM clients_clientkey") > 0


def test_a_page_opens_in_a_real_browser(portal: Portal, staff_page: Page) -> None:
    staff_page.goto(portal.base_url + "/admin/")
    settled(staff_page)

    assert staff_page.get_by_text("Sign out").first.is_visible()


def test_the_browser_watch_records_faults(portal: Portal, page: Page, watch: Watch) -> None:
    page.goto(portal.base_url + "/admin/login/")
    page.evaluate("fetch('/not/there/')")
    page.evaluate("console.error('odd')")
    page.evaluate("fetch('http://shop.example/').catch(() => 0)")
    page.wait_for_timeout(100)

    assert len(watch.faults) >= 3
    watch.allow("not/there|odd|shop.example")
