"""Test web monitors whose requests use variables from the responses to earlier requests."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from core.lib import outbound
from health.checking import probes
from health.checking.values import ProbeFailed, fill_in, parse_extractions, variables_in
from health.models import Monitor, MonitorStep
from tests.factories import make_monitor
from tests.servers.fake_http import Answer, FakeHTTP, Received

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def allow_loopback(settings: Settings) -> None:
    settings.ALLOW_PRIVATE_URLS = ["127.0.0.0/8"]


def add_step(monitor: Monitor, url: str, **fields: object) -> MonitorStep:
    position = monitor.steps.count() + 1
    return MonitorStep.objects.create(
        **{
            "monitor": monitor,
            "position": position,
            "name": f"Step {position}",
            "url": url,
            **fields,
        }
    )


def probe(monitor: Monitor) -> str:
    return probes.to_check(monitor).run() or ""


def shop(received: Received) -> Answer:
    """Answer as a shop whose orders can be read only with a token and a session cookie."""
    match received.method, received.path:
        case "POST", "/login" if received.json() == {"user": "ann", "password": "secret"}:
            return Answer(
                200,
                b'{"access": {"tokens": [{"value": "t-1"}]}, "id": 42}',
                {"X-Session": "s-1", "Set-Cookie": "sid=c-1; Path=/"},
            )
        case "GET", "/users/42/orders":
            is_known = (
                received.headers.get("authorization") == "Bearer t-1"
                and received.headers.get("x-session") == "s-1"
                and received.headers.get("cookie") == "sid=c-1"
            )
            return Answer(200 if is_known else 403, b'{"owner": "42"}')
    return Answer(401)


def make_shop_monitor(fake: FakeHTTP, **fields: object) -> Monitor:
    fake.respond_with(shop)
    monitor = make_monitor(
        f"{fake.url}/users/{{{{id}}}}/orders",
        **{
            "headers": {"Authorization": "Bearer {{token}}", "X-Session": "{{ session }}"},
            "json_path": "owner",
            "json_value": "{{id}}",
            **fields,
        },
    )
    add_step(
        monitor,
        f"{fake.url}/login",
        name="Sign in",
        method="POST",
        body='{"user": "ann", "password": "secret"}',
        extract="token = json.access.tokens[0].value\nid = json.id\n\nsession = header.X-Session",
    )
    return monitor


def test_values_of_a_response_are_used_in_the_next_request(fake: FakeHTTP) -> None:
    assert probe(make_shop_monitor(fake)) == "HTTP 200 after 2 requests"
    assert [request.path for request in fake.requests] == ["/login", "/users/42/orders"]


def test_a_failed_step_is_named_and_ends_the_check(fake: FakeHTTP) -> None:
    monitor = make_shop_monitor(fake)
    monitor.steps.update(extract="token = json.missing")
    with pytest.raises(
        ProbeFailed, match=r"^step 1 \(Sign in\): the response has no json.missing$"
    ):
        probe(monitor)

    step = monitor.steps.get()
    step.body = "{}"
    step.save()
    with pytest.raises(ProbeFailed, match=r"^step 1 \(Sign in\): HTTP 401, expected 200-299$"):
        probe(monitor)
    assert {request.path for request in fake.requests} == {"/login"}


def test_an_unreachable_step_counts_as_unreachable(closed_port: int) -> None:
    monitor = make_monitor(f"http://127.0.0.1:{closed_port}/")
    add_step(monitor, f"http://127.0.0.1:{closed_port}/login", name="Sign in")
    with pytest.raises(outbound.Unavailable, match=r"step 1 \(Sign in\)"):
        probe(monitor)


def test_an_unknown_variable_fails_the_check(fake: FakeHTTP) -> None:
    with pytest.raises(ProbeFailed, match="no earlier step sets the variable token"):
        probe(make_monitor(f"{fake.url}/{{{{token}}}}"))


def test_a_variable_cannot_lead_to_a_private_address(fake: FakeHTTP) -> None:
    fake.answer(json={"next": "http://10.0.0.1/secret"})
    monitor = make_monitor("{{next}}")
    Monitor.objects.filter(pk=monitor.pk).update(url="{{next}}")
    add_step(monitor, fake.url, extract="next = json.next")
    with pytest.raises(outbound.ForbiddenAddress):
        probe(Monitor.objects.get())


def test_bodies_and_headers_of_steps_are_encrypted(fake: FakeHTTP) -> None:
    make_shop_monitor(fake)
    with connection.cursor() as cursor:
        cursor.execute("SELECT body FROM health_monitorstep")
        assert "secret" not in cursor.fetchone()[0]


@pytest.mark.parametrize(
    "text", ["token", "token = body.x", "1x = json.a", "a = header.", "a b = json.c"]
)
def test_an_invalid_extraction_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not of the form"):
        parse_extractions(text)


def test_variables_are_found_and_replaced() -> None:
    assert variables_in(["{{a}}/{{ b }}", "{ {c}} {{1}}"]) == {"a", "b"}
    assert fill_in("{{a}}-{{ a }}{{1}}", {"a": "{{a}}"}) == "{{a}}-{{a}}{{1}}"


# --- the form --------------------------------------------------------------------------------------------

STEP = {
    "steps-0-position": "1", "steps-0-name": "Sign in", "steps-0-method": "POST",
    "steps-0-headers": "{}", "steps-0-body": '{"user": "ann", "password": "secret"}', "steps-0-expected_status": "200",
    "steps-0-extract": "token = json.access.tokens[0].value\nid = json.id\nsession = header.X-Session",
}  # fmt: skip
FORM = {
    "title": "Orders", "position": 0, "interval_minutes": 1, "timeout_seconds": 5, "fail_after": 2, "recover_after": 2,
    "method": "GET", "expected_status": "200-299", "json_path": "owner", "json_value": "{{id}}",
    "headers": '{"Authorization": "Bearer {{token}}", "X-Session": "{{session}}"}',
    "steps-TOTAL_FORMS": "1", "steps-INITIAL_FORMS": "0", **STEP,
}  # fmt: skip


def test_the_form_checks_and_saves_steps(admin_client: Client, fake: FakeHTTP) -> None:
    fake.respond_with(shop)
    given = {
        **FORM,
        "url": f"{fake.url}/users/{{{{id}}}}/orders",
        "steps-0-url": f"{fake.url}/login",
    }

    checked = admin_client.post("/admin/health/monitor/check/?type=http", given).content.decode()
    assert "HTTP 200 after 2 requests" in checked
    assert MonitorStep.objects.count() == 0

    saved = admin_client.post("/admin/health/monitor/add/?type=http", given)
    assert saved.status_code == 302, saved.context["errors"]
    assert probe(Monitor.objects.get()) == "HTTP 200 after 2 requests"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (
            {"steps-0-extract": "id = json.id"},
            "The request uses session, which no earlier step sets.",
        ),
        ({"steps-0-extract": "token"}, "not of the form"),
        ({"steps-0-url": "tcp://127.0.0.1:80"}, "Enter an address that starts with https"),
        ({"steps-0-url": "http://10.0.0.1/"}, "not a public address"),
        ({"steps-0-body": "{{other}}"}, "The step Sign in uses other, which no earlier step sets."),
    ],
)
def test_the_form_refuses_steps_that_cannot_work(
    admin_client: Client, fake: FakeHTTP, changed: dict[str, str], problem: str
) -> None:
    given = {
        **FORM,
        "url": f"{fake.url}/users/{{{{id}}}}/orders",
        "steps-0-url": f"{fake.url}/login",
    }

    page = admin_client.post("/admin/health/monitor/check/?type=http", {**given, **changed})

    assert problem in page.content.decode()
    assert fake.requests == []
    again = admin_client.post("/admin/health/monitor/add/?type=http", {**given, **changed})
    assert again.status_code == 200
    assert not Monitor.objects.exists()


def test_each_run_starts_without_cookies(fake: FakeHTTP, fake_http: Callable[[], FakeHTTP]) -> None:
    other = fake_http()
    fake.answer(
        302, headers={"Set-Cookie": "sid=1; Path=/", "Location": "/home"}, path="/start", times=None
    )
    monitor = make_monitor(f"{fake.url}/start")
    probe(monitor)
    probe(monitor)
    assert [r.headers.get("cookie") for r in fake.requests] == [None, "sid=1", None, "sid=1"]
    assert other.requests == []
