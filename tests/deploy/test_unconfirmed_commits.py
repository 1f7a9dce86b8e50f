"""Test that the portal acknowledges no request, not even a repeated one, while no standby confirms commits."""

import uuid
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from tests.deploy.load import Load, Posted
from tests.payments.stripe_account import StripeAccount
from tests.payments.stripe_double import StripeDouble
from tests.servers.portal import Portal, Template
from tests.servers.postgres import PostgresServer, canceled_waits, copy_database
from tests.two_runs import in_the_postgresql_run

pytestmark = [in_the_postgresql_run, pytest.mark.servers]

SEED = """
from reservations.models import Event, TicketType
event = Event.objects.create(name="Concert", slug="concert")
print(TicketType.objects.create(event=event, name="Seat", capacity=100).pk)
"""
STORED = {
    "/api/v1/errors/": "SELECT count(*) FROM errors_errorevent",
    "/api/v1/reservations/": "SELECT count(*) FROM reservations_reservation",
    "/api/v1/signals/": "SELECT count(*) FROM health_signalbatch",
    "/api/v1/payments/": "SELECT count(*) FROM payment_intents_log",
}


@pytest.fixture
def stripe() -> Iterator[StripeDouble]:
    double = StripeDouble(account=StripeAccount())
    yield double
    double.close()


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture
def own_portal(
    server: PostgresServer,
    stripe: StripeDouble,
    portal_template: Template,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Portal]:
    """Start a portal with its own PostgreSQL server, whose replication settings the test can change."""
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE template")
    copy_database(
        portal_template.postgres_url,
        server.url("template"),
        binaries=server.binaries,
        owner="opsportal",
    )
    portal = Portal(
        replace(portal_template, postgres_url=server.url("template")),
        tmp_path_factory.mktemp("portal"),
        environment={
            "SELF_MONITORING": "false",  # The test counts all events, so the portal must not report its own.
            "STRIPE_API_BASE": stripe.base,
            "STRIPE_SECRET_KEY": "sk_test_double",
            "STRIPE_WEBHOOK_SECRETS": stripe.secret,
        },
    )
    portal.start()
    yield portal
    portal.stop()


def set_standbys(server: PostgresServer, names: str) -> None:
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute("SET synchronous_commit = local")
        admin.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'".encode())
        admin.execute("SELECT pg_reload_conf()")


def test_only_writes_that_a_standby_has_are_acknowledged(
    own_portal: Portal, server: PostgresServer
) -> None:
    ticket_type = int(own_portal.manage("shell", "-v0", "-c", SEED).stdout)
    load = Load(own_portal.base_url, own_portal.api_key, ticket_type, has_payments=True)

    def post(item: Posted) -> int:
        path, body, headers = item
        return own_portal.client.post(path, json=body, headers=own_portal.api | headers).status_code

    paid = load.payment("paid-before")
    assert post(paid) == 201
    kinds = (load.error, load.reservation, load.signals)
    items = [make(uuid.uuid4().hex) for make in kinds]
    set_standbys(server, "nobody")
    with canceled_waits(server):
        first = [post(item) for item in [*items, load.payment("not-paid")]]
        on_primary = {path: own_portal.value(sql) for path, sql in STORED.items()}
        repeated = [post(item) for item in [*items, paid]]
    set_standbys(server, "")
    after = [post(item) for item in [*items, paid]]

    assert first == [503] * 4
    # Repeated requests find the rows on the primary, although no standby has confirmed them.
    assert on_primary == dict.fromkeys(STORED, 1) | {"/api/v1/payments/": 2}
    assert repeated == [503] * 4
    assert [status // 100 for status in after] == [2] * 4
    assert {path: own_portal.value(sql) for path, sql in STORED.items()} == on_primary
