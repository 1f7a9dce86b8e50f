"""Test the page of logs with its search, paging, traces and permissions, and the section of the event page."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from core.clients.models import ClientApp
from errors.models import ErrorEvent
from logs.models import Level, LogEntry
from logs.views import PAGE_SIZE
from tests.errors.support import Sender, raised
from tests.factories import make_app
from tests.logs.conftest import Add

pytestmark = pytest.mark.django_db

URL = "/admin/logs/"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def found(client: Client, query: str = "", **more: str) -> list[str]:
    """Return the messages that the page shows for the query, newest first."""
    answer = client.get(URL, {"q": query, **more})
    assert answer.status_code == 200
    return [row["entry"].body for row in answer.context["rows"]]


def test_the_newest_entries_come_first_with_all_their_data(browse: Client, add: Add) -> None:
    add("older", at=timezone.now() - timedelta(hours=1))
    add("newer", level=Level.ERROR, trace_id=TRACE, environment="production", order_id="o-1")

    page = browse.get(URL)

    assert found(browse) == ["newer", "older"]
    text = page.content.decode()
    for shown in ("newer", "Error", "Shop", "production", "order_id", "o-1", TRACE):
        assert shown in text


def test_attributes_are_shown_by_name_on_both_databases(browse: Client, add: Add) -> None:
    add("failed", zone="north", attempt="3", exception="IntegrityError")

    [row] = browse.get(URL).context["rows"]

    assert [name for name, *_ in row["attributes"]] == ["attempt", "exception", "zone"]


@pytest.mark.parametrize(
    ("query", "bodies"),
    [
        ("declined", ["Card DECLINED by bank-3"]),
        ("decl", ["Card DECLINED by bank-3"]),
        ('"declined by bank"', ["Card DECLINED by bank-3"]),
        ('"bank declined"', []),
        ("bank-3", ["Card DECLINED by bank-3"]),
        ("card held", []),
        ("seat", ["seat A-12 held, naïve"]),
        ("naïve", ["seat A-12 held, naïve"]),
        ("-seat", ["import done", "Card DECLINED by bank-3"]),
        ("level:error", ["Card DECLINED by bank-3"]),
        ("level:error,info", ["seat A-12 held, naïve", "Card DECLINED by bank-3"]),
        ("-level:error,info", ["import done"]),
        ("app:gate", ["import done"]),
        ("app:gate level:error", []),
        ("app:nowhere", []),
        ("env:production", ["seat A-12 held, naïve"]),
        (f"trace:{TRACE}", ["seat A-12 held, naïve"]),
        (f"trace:{TRACE.upper()}", ["seat A-12 held, naïve"]),
        ("request:r-7", ["seat A-12 held, naïve"]),
        ("order_id:o-1", ["Card DECLINED by bank-3"]),
        ("order_id:O-1", ["Card DECLINED by bank-3"]),
        ("order_id:o", []),
        ("seats:2", ["seat A-12 held, naïve"]),
        ("express:true", ["seat A-12 held, naïve"]),
        ("http.route:/pay/{id}", ["Card DECLINED by bank-3"]),
        ("-order_id:o-1 is:log level:error", []),
        ("order_id:o-1 declined", ["Card DECLINED by bank-3"]),
        ("since:30m", ["import done", "seat A-12 held, naïve"]),
        ("until:30m", ["Card DECLINED by bank-3"]),
        ("is:request", []),
        ("since:0001-01-01", ["import done", "seat A-12 held, naïve", "Card DECLINED by bank-3"]),
        ("until:9999-12-31", ["import done", "seat A-12 held, naïve", "Card DECLINED by bank-3"]),
    ],
)
def test_the_search_line_finds_entries(
    browse: Client, add: Add, query: str, bodies: list[str]
) -> None:
    now = timezone.now()
    add(
        "Card DECLINED by bank-3",
        level=Level.ERROR,
        at=now - timedelta(hours=1),
        order_id="o-1",
        http__route="/pay/{id}",
    )
    add(
        "seat A-12 held, naïve",
        at=now - timedelta(minutes=2),
        trace_id=TRACE,
        environment="production",
        request_id="r-7",
        seats=2,
        express=True,
    )
    add("import done", level=Level.DEBUG, app=make_app("gate"))

    assert found(browse, query) == bodies


def test_the_filters_of_the_form_narrow_the_search(browse: Client, add: Add) -> None:
    add("a", level=Level.ERROR)
    add("b", app=make_app("gate"))

    assert found(browse, app="gate") == ["b"]
    assert found(browse, level="error") == ["a"]
    assert found(browse, "b", app="shop") == []


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("level:loud", "Unknown level &#x27;loud&#x27;; use one of trace"),
        ("is:event", "Unknown filter is:event; use log or request"),
        ("since:soon", "&#x27;soon&#x27; is not a time"),
        ("???", "&#x27;???&#x27; contains no letters or digits to search for"),
    ],
)
def test_an_invalid_query_finds_no_entry_and_explains_the_reason(
    browse: Client, add: Add, query: str, problem: str
) -> None:
    add("one")

    page = browse.get(URL, {"q": query})

    assert not page.context["rows"]
    assert problem in page.content.decode()


@pytest.mark.parametrize(
    "query", ["'", '"', "'; DROP TABLE x", "a & b | !c:*", "é" * 900, "x:" * 99]
)
def test_any_text_can_be_searched_for(browse: Client, add: Add, query: str) -> None:
    add("one")

    assert browse.get(URL, {"q": query, "before": "²"}).status_code == 200


def test_pages_continue_after_the_last_entry(browse: Client, shop: ClientApp, add: Add) -> None:
    now = timezone.now()
    total = PAGE_SIZE + 3
    for number in range(total):
        add(f"n{number}", at=now - timedelta(seconds=number))

    first = browse.get(URL)
    second = browse.get(first.context["next_url"])

    bodies = [row["entry"].body for page in (first, second) for row in page.context["rows"]]
    assert bodies == [f"n{number}" for number in range(total)]
    assert second.context["next_url"] == ""
    assert second.context["first_url"] == URL


def test_the_number_of_queries_does_not_grow_with_the_entries(browse: Client, add: Add) -> None:
    add("one", order_id="1")
    browse.get(URL)  # Fill the caches for the session and its user.
    with CaptureQueriesContext(connection) as few:
        browse.get(URL)
    for number in range(20):
        add(f"more {number}", order_id=str(number), trace_id=TRACE)

    with CaptureQueriesContext(connection) as many:
        browse.get(URL)

    assert len(many) == len(few)


def test_an_entry_of_a_deleted_app_is_shown(browse: Client, add: Add) -> None:
    add("left behind")
    LogEntry.objects.update(app_id=987654)

    assert "Deleted app" in browse.get(URL).content.decode()


def test_suggestions_complete_keys_and_values(browse: Client, shop: ClientApp) -> None:
    def texts(typed: str) -> list[str]:
        answer = browse.get("/admin/logs/complete/", {"q": typed}).json()
        return [one["text"] for one in answer["suggestions"]]

    assert texts("le") == ["level:"]
    assert texts("level:e") == ["level:error "]
    assert texts("app:s") == ["app:shop "]
    assert texts("is:") == ["is:log ", "is:request "]
    assert texts("order_id:") == []


def test_the_page_requires_the_permission_to_view_logs(
    staff_client: Callable[..., Client], client: Client
) -> None:
    assert staff_client("view_logentry").get(URL).status_code == 200
    assert staff_client("view_errorgroup").get(URL).status_code == 403
    assert staff_client().get("/admin/logs/complete/").status_code == 403
    assert client.get(URL).status_code == 302


def test_messages_cannot_inject_markup(browse: Client, add: Add) -> None:
    add("<script>alert(1)</script>", note="<img src=x>")

    text = browse.get(URL).content.decode()

    assert "<script>alert" not in text
    assert "<img src=x" not in text


# --- traces -------------------------------------------------------------------------------------


def report(sender: Sender, trace_id: str, **more: Any) -> ErrorEvent:
    contexts = {"trace": {"trace_id": trace_id, "span_id": "b7ad6b7169203331"}}
    answer = sender.send(raised(contexts=contexts, **more))
    return ErrorEvent.objects.get(event_id=answer.json()["id"])


def event_url(event: ErrorEvent) -> str:
    return f"/admin/errors/{event.group_id}/events/{event.pk}/"


def test_the_event_page_shows_the_logs_of_the_same_trace_and_request(
    browse: Client, sender: Sender, add: Add
) -> None:
    add("cart opened", trace_id=TRACE, order_id="o-9")
    add("seat held", request_id="r-5")
    add("elsewhere", trace_id="f" * 32, app=make_app("gate"))
    event = report(sender, TRACE, tags={"request_id": "r-5"})

    text = browse.get(event_url(event)).content.decode()

    assert "Logs of this trace" in text
    assert "cart opened" in text
    assert "seat held" in text
    assert "elsewhere" not in text
    assert f"/admin/logs/?q=trace%3A{TRACE}" in text


def test_the_event_page_shows_logs_only_with_the_permission(
    staff_client: Callable[..., Client], sender: Sender, add: Add
) -> None:
    add("cart opened", trace_id=TRACE)
    event = report(sender, TRACE)

    page = staff_client("view_errorgroup").get(event_url(event))

    assert page.status_code == 200
    assert "cart opened" not in page.content.decode()


def test_a_request_id_of_another_app_does_not_match(
    browse: Client, sender: Sender, add: Add
) -> None:
    add("of the gate", app=make_app("gate"), request_id="r-5")
    event = report(sender, "", tags={"request_id": "r-5"})

    assert "of the gate" not in browse.get(event_url(event)).content.decode()


def test_the_logs_of_a_trace_are_listed_below_its_errors(
    browse: Client, sender: Sender, add: Add, staff_client: Callable[..., Client]
) -> None:
    add("cart opened", trace_id=TRACE)
    event = report(sender, TRACE)
    report(sender, "f" * 32, event_id="e" * 32)

    page = browse.get(URL, {"q": f"trace:{TRACE}"})

    assert [one["event"].pk for one in page.context["errors"]] == [event.pk]
    assert event_url(event) in page.content.decode()
    hidden = staff_client("view_logentry").get(URL, {"q": f"trace:{TRACE}"})
    assert hidden.context["errors"] == []
