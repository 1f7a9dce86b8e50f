"""Test that idle, busy and slow clients cannot stop a node."""

import asyncio
import contextlib
import resource
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.errors.sending import stored, url_of
from tests.errors.support import envelope, raised
from tests.payments.stripe_double import StripeDouble
from tests.server.clients import Connection, close, open_many, probe_liveness
from tests.server.serving import Serving
from tests.servers.portal import Portal, Template

IDLE_CONNECTIONS = 10_000
ACTIVE_CLIENTS = 2_000
SLOW_CLIENTS = 100  # More than there are request threads.


@pytest.fixture
def file_limit() -> Iterator[None]:
    """Raise this process's limit of open files to the maximum."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def served(portal: Portal) -> Iterator[Serving]:
    """Run the portal under `serve`. After the `with` block, check that its web process was not replaced."""
    serving = Serving(portal, "--no-worker")
    try:
        serving.wait_until_up()
        web = serving.child("opsportal web")
        yield serving
        assert serving.child("opsportal web") == web, serving.log.read_text()
        assert "; stopping it" not in serving.log.read_text()
    finally:
        serving.stop()


@pytest.mark.usefixtures("file_limit")
def test_the_portal_answers_despite_ten_thousand_idle_connections(
    make_portal: Callable[..., Portal],
) -> None:
    portal = make_portal()

    async def use() -> None:
        idle = await open_many(portal.port, IDLE_CONNECTIONS)
        answers = []
        for _ in range(20):
            client = await Connection(portal.port).open()
            answers.append((await client.request("GET", "/livez"))[0])
            answers.append((await client.request("GET", "/admin/login/"))[0])
            body = envelope(raised(event_id=uuid.uuid4().hex))
            answers.append((await client.request("POST", url_of(portal), body))[0])
            close([client])
            await asyncio.sleep(0.1)
        close(idle)
        assert set(answers) == {200}

    with served(portal):
        asyncio.run(use())

    assert len(stored(portal)) == 20


@pytest.mark.usefixtures("file_limit")
def test_two_thousand_busy_clients_are_all_answered(make_portal: Callable[..., Portal]) -> None:
    stripe = StripeDouble()
    portal = make_portal(STRIPE_API_BASE=stripe.base, STRIPE_SECRET_KEY="sk_test_double")
    ticket_type = set_up_sale(portal)
    reserve = {"items": [{"ticket_type": ticket_type, "quantity": 1}]}
    pay = {"amount": 1800, "currency": "eur"}

    async def act(client: Connection, number: int) -> int:
        key = {"Authorization": f"Bearer {portal.api_key}", "Idempotency_Key": uuid.uuid4().hex}
        if number % 3 == 0:
            return (await client.request("POST", "/api/v1/reservations/", reserve, **key))[0]
        if number % 3 == 1:
            return (await client.request("POST", "/api/v1/payments/", pay, **key))[0]
        body = envelope(raised(event_id=uuid.uuid4().hex))
        return (await client.request("POST", url_of(portal), body))[0]

    async def use() -> list[int]:
        clients = await open_many(portal.port, ACTIVE_CLIENTS)
        stop = asyncio.Event()
        probes = asyncio.create_task(probe_liveness(portal.port, stop))
        acts = [act(client, number) for number, client in enumerate(clients)]
        answers = await asyncio.gather(*acts)
        stop.set()
        times = await probes
        close(clients)
        print(f"/livez: {len(times)} answers, the slowest after {max(times):.2f} s")
        return answers

    try:
        with served(portal):
            answers = asyncio.run(use())
        intent_count = len(stripe.intents())
    finally:
        stripe.close()

    assert set(answers[0::3]) == set(answers[1::3]) == {201}
    assert set(answers[2::3]) == {200}
    assert len(stored(portal)) == len(answers[2::3])
    assert portal.value("SELECT held FROM reservations_tickettype") == len(answers[0::3])
    assert intent_count == len(answers[1::3])


def set_up_sale(portal: Portal) -> int:
    """Disable all rate limits, put tickets on sale, and return the id of the ticket type."""
    portal.rows("UPDATE limits_ratelimittier SET is_enabled = false")
    portal.rows(
        "INSERT INTO reservations_event (name, slug, is_on_sale, hold_minutes, created_at)"
        " VALUES ('Hot', 'hot', true, 15, '2026-01-01 00:00:00')"
    )
    portal.rows(
        "INSERT INTO reservations_tickettype (event_id, name, capacity, held, sold, price, currency)"
        f" VALUES ((SELECT max(id) FROM reservations_event), 'Hot', {ACTIVE_CLIENTS}, 0, 0, 2500, 'EUR')"
    )
    return int(portal.value("SELECT max(id) FROM reservations_tickettype"))


@pytest.fixture(scope="module")
def impatient_portal(
    portal_template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Portal]:
    timeouts = {"HEADER_TIMEOUT_SECONDS": "2", "BODY_TIMEOUT_SECONDS": "2"}
    portal = Portal(portal_template, tmp_path_factory.mktemp("portal"), environment=timeouts)
    portal.start()
    yield portal
    portal.stop()


@pytest.mark.parametrize(
    ("part", "beginning"),
    [
        ("nothing", b""),
        ("header", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept:"),
        ("body", b"POST {url} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{{}}"),
        ("chunk", b"POST {url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
        ("page", b"POST /admin/login/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nuser="),
    ],
)
def test_slow_clients_are_disconnected_and_do_not_block_other_clients(
    impatient_portal: Portal, part: str, beginning: bytes
) -> None:
    portal = impatient_portal
    beginning = beginning.replace(b"{url}", url_of(portal).encode())

    async def use() -> list[bytes]:
        slow = await open_many(portal.port, SLOW_CLIENTS)
        for connection in slow:
            connection.writer.write(beginning)
        client = await Connection(portal.port).open()
        assert (await client.request("GET", "/admin/login/"))[0] == 200
        body = envelope(raised(event_id=uuid.uuid4().hex))
        assert (await client.request("POST", url_of(portal), body))[0] == 200
        async with asyncio.timeout(20):
            answers = await asyncio.gather(*(connection.reader.read() for connection in slow))
        close([client, *slow])
        return list(answers)

    answers = asyncio.run(use())

    expected = b"" if part in ("nothing", "header") else b"HTTP/1.1 408 Request Timeout\r\n"
    assert all(answer.startswith(expected) for answer in answers), answers[0]
    assert len(answers) == SLOW_CLIENTS


def test_a_client_beyond_the_limit_waits_until_idle_ones_are_disconnected(
    make_portal: Callable[..., Portal],
) -> None:
    portal = make_portal(MAX_CONNECTIONS="20", HEADER_TIMEOUT_SECONDS="2")
    portal.start()

    async def use() -> int:
        idle = await open_many(portal.port, 40)
        client = await Connection(portal.port).open()
        async with asyncio.timeout(20):
            status, _ = await client.request("GET", "/livez")
        close([client, *idle])
        return status

    assert asyncio.run(use()) == 200


def test_a_body_that_is_cut_short_is_not_stored(portal: Portal) -> None:
    async def use() -> None:
        connection = await Connection(portal.port).open()
        body = envelope(raised(event_id=uuid.uuid4().hex))
        head = f"POST {url_of(portal)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.writer.write(head.encode() + body[:-5])
        await connection.writer.drain()
        close([connection])

    asyncio.run(use())
    time.sleep(0.5)

    assert portal.client.get("/livez").status_code == 200
    assert not stored(portal)
