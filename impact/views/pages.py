"""Show the orders that a problem touched, win-back lists, and the data of a person to staff."""

import json
from collections.abc import Iterator
from datetime import datetime

from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from core.accounts.services import audit
from core.lib import formats
from core.lib.app_access import sees_every_app
from core.lib.csv_export import csv_response
from core.lib.retention import retention_periods
from impact.extension_points import Description, Person, problem_sources
from impact.models import Erasure, WinBackList
from impact.queries.figures import SHOWN_STATES, format_amounts
from impact.queries.orders import OrderRow, list_orders
from impact.queries.person import (
    all_records,
    customers_of_order,
    find_person,
    sections,
)
from impact.queries.summary import summarize
from impact.services.catch_up import catch_up
from impact.services.erasure import erase_person
from impact.services.win_back import write_win_back_list
from impact.states import State

PAGE_SIZE = 50
CSV_CHUNK = 500
may_see = permission_required("impact.view_order", raise_exception=True)
may_list = permission_required("impact.add_winbacklist", raise_exception=True)
may_see_erasures = permission_required("impact.view_erasure", raise_exception=True)
may_erase = permission_required("impact.add_erasure", raise_exception=True)
may_see_list = permission_required("impact.view_winbacklist", raise_exception=True)


def _description(request: HttpRequest, kind: str, id: int) -> Description:
    """Return the description of the problem.

    Raises Http404 if the problem does not exist, and PermissionDenied if the user may not see it.
    """
    found = problem_sources.get(kind).describe(id) if kind in problem_sources else None
    if found is None:
        raise Http404("there is no such problem")
    if found.permission and not request.user.has_perm(found.permission):
        raise PermissionDenied
    return found


def _states(request: HttpRequest) -> list[State]:
    chosen = request.GET.get("state", "")
    return [State(chosen)] if chosen in State.values else []


@require_GET
@may_see
def orders(request: HttpRequest, kind: str, id: int) -> HttpResponse:
    """Show the orders that a problem touched, each with its payments and reservations."""
    now = timezone.now()
    description = _description(request, kind, id)
    summary = summarize(kind, id, description, now=now, is_estimated=True)
    after = request.GET.get("after", "")
    page = list_orders(
        description,
        now=now,
        states=_states(request),
        after=int(after) if after.isdecimal() and len(after) < 19 else 0,
        size=PAGE_SIZE,
        with_records=True,
    )
    here = reverse("impact:orders", args=[kind, id])
    chosen = request.GET.get("state", "")
    return render(
        request,
        "impact/orders.html",
        {
            **admin.site.each_context(request),
            "title": "Affected orders",
            "lead": description.title,
            "problem": description,
            "impact": summary,
            "rows": page.rows,
            "states": [
                {"label": "All", "url": here, "is_current": not chosen},
                *(
                    {
                        "label": state.label.capitalize(),
                        "url": f"{here}?state={state}",
                        "is_current": chosen == state,
                    }
                    for state in SHOWN_STATES
                ),
            ],
            "first_url": f"{here}?state={chosen}" if after else "",
            "next_url": f"{here}?state={chosen}&after={page.next_id}" if page.next_id else "",
            "csv_url": f"{reverse('impact:orders-csv', args=[kind, id])}?state={chosen}",
            "list_url": reverse("impact:write-list", args=[kind, id]),
            "may_list": request.user.has_perm("impact.add_winbacklist"),
            "lists": WinBackList.objects.filter(kind=kind, problem=id).order_by("-created_at"),
        },
    )


CSV_COLUMNS = (
    "order", "state", "customer", "amount", "currency", "seats", "ordered_at", "problem_at", "ended_at",
)  # fmt: skip


@require_GET
@may_see
def orders_csv(request: HttpRequest, kind: str, id: int) -> StreamingHttpResponse:
    """Download the orders, with one line per order and currency."""
    description = _description(request, kind, id)
    catch_up()
    rows = _all_orders(description, _states(request), timezone.now())
    lines = (line for order in rows for line in _order_lines(order))
    return csv_response(f"orders-{kind}-{id}", CSV_COLUMNS, lines)


def _all_orders(description: Description, states: list[State], now: datetime) -> Iterator[OrderRow]:
    after: int | None = 0
    while after is not None:
        page = list_orders(description, now=now, states=states, after=after, size=CSV_CHUNK)
        yield from page.rows
        after = page.next_id


def _order_lines(order: OrderRow) -> Iterator[list[str]]:
    for currency, amount in order.amounts.items() or [("", 0)]:
        yield [
            order.order_id or order.key.partition(":")[2],
            order.state.label,
            order.customer,
            formats.money(amount, currency).removesuffix(f" {currency}").replace(",", ""),
            currency,
            str(order.seats),
            order.created_at.isoformat(timespec="seconds"),
            order.first_at.isoformat(timespec="seconds"),
            order.settled_at.isoformat(timespec="seconds") if order.settled_at else "",
        ]


@require_POST
@may_list
def write_list(request: HttpRequest, kind: str, id: int) -> HttpResponse:
    """Save a list of the buyers whose orders were lost, and show it. No message is sent to the buyers."""
    description = _description(request, kind, id)
    assert isinstance(request.user, User)
    written = write_win_back_list(
        kind=kind, id=id, description=description, user=request.user, now=timezone.now()
    )
    return redirect("impact:list", written.pk)


@require_GET
@may_see_list
def win_back_list(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(WinBackList.objects.select_related("created_by"), pk=pk)
    problem = _problem_of(found)
    entries = found.entries.order_by("pk")
    totals: dict[str, int] = {}
    for currency, amount in entries.values_list("currency", "amount"):
        totals[currency] = totals.get(currency, 0) + amount
    return render(
        request,
        "impact/list.html",
        {
            **admin.site.each_context(request),
            "title": "Buyers to win back",
            "lead": found.title,
            "list": found,
            "entries": entries[:500],
            "entry_count": entries.count(),
            "total": format_amounts(totals),
            "problem": problem,
            "may_erase": request.user.has_perm("impact.add_erasure"),
        },
    )


def _problem_of(found: WinBackList) -> Description | None:
    """Return the problem of a list, or None if the problem was deleted.

    Raises Http404 if there is no problem to show and the user may see only some apps.
    """
    source = problem_sources.get(found.kind) if found.kind in problem_sources else None
    problem = source.describe(found.problem) if source else None
    if problem is None and not sees_every_app():
        raise Http404("there is no such list")
    return problem


@require_GET
@may_see_list
def list_csv(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    found = get_object_or_404(WinBackList, pk=pk)
    _problem_of(found)
    lines = (
        [
            entry.order_key.partition(":")[2],
            entry.customer,
            formats.money(entry.amount, entry.currency)
            .removesuffix(f" {entry.currency}")
            .replace(",", ""),
            entry.currency,
            str(entry.seats),
            entry.lost_at.isoformat(timespec="seconds") if entry.lost_at else "",
        ]
        for entry in found.entries.order_by("pk").iterator()
    )
    columns = ("order", "customer", "amount", "currency", "seats", "lost_at")
    return csv_response(f"win-back-{found.pk}", columns, lines)


@require_http_methods(["GET", "POST"])
@may_erase
def person(request: HttpRequest) -> HttpResponseBase:
    """Show the data that is stored about a person, or download it as JSON.

    The person's id is in the body of a POST request, so that no access log contains it.
    """
    if not sees_every_app():
        raise PermissionDenied
    given = _given_person(request)
    of_order: list[str] = []
    if given and request.POST.get("by") == "order":
        of_order = customers_of_order(given)
        customer = of_order[0] if len(of_order) == 1 else ""
    else:
        customer = given
    found = find_person(customer) if customer else None
    if found and request.POST.get("step") == "export":
        return _export(request, found)
    return render(
        request,
        "impact/person.html",
        {
            **admin.site.each_context(request),
            "title": "A person's data",
            "given": given,
            "is_order": request.POST.get("by") == "order",
            "is_empty": request.method == "POST" and not given,
            "customer": customer,
            "stored_as": sorted(found.customers) if found else [],
            "choices": of_order if len(of_order) > 1 else [],
            "sections": sections(found) if found else [],
        },
    )


@require_GET
@may_see_erasures
def retention(request: HttpRequest) -> HttpResponse:
    """Show how long each kind of data is kept, and which setting changes the time."""
    rows = [row for list_kept in retention_periods for row in list_kept()]
    context = {**admin.site.each_context(request), "title": "How long data is kept", "rows": rows}
    return render(request, "impact/retention.html", context)


def _given_person(request: HttpRequest) -> str:
    return request.POST.get("customer", "").replace("\0", "").strip()[:200]


def _export(request: HttpRequest, found: Person) -> StreamingHttpResponse:
    """Stream all records as one JSON document, and record the download in the audit log, without the person."""
    now = timezone.now()
    assert isinstance(request.user, User)
    audit.record(request.user, "data of a person downloaded", now=now)
    response = StreamingHttpResponse(_as_json(found, now), content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="person-{now:%Y%m%dT%H%M%SZ}.json"'
    return response


def _as_json(found: Person, now: datetime) -> Iterator[str]:
    exported_at = now.isoformat(timespec="seconds")
    yield f'{{"exported_at": "{exported_at}", "records": ['
    for number, (kind, data) in enumerate(all_records(found)):
        yield (",\n" if number else "\n") + json.dumps({"kind": kind, **data}, ensure_ascii=False)
    yield "\n]}\n"


@require_http_methods(["GET", "POST"])
@may_erase
def erase(request: HttpRequest) -> HttpResponse:
    """Erase a person from the records of all apps, in two steps: a form for the customer, and a confirmation."""
    if not sees_every_app():
        raise PermissionDenied
    customer = _given_person(request)
    if customer and request.POST.get("step") == "confirmed":
        assert isinstance(request.user, User)
        erasure = erase_person(customer=customer, user=request.user, now=timezone.now())
        messages.success(request, f"The person was erased. Changed records: {erasure.summary}.")
        return redirect("impact:erase")
    return render(
        request,
        "impact/erase.html",
        {
            **admin.site.each_context(request),
            "title": "Erase a person",
            "customer": customer,
            "is_empty": request.method == "POST" and not customer,
            "erasures": Erasure.objects.select_related("requested_by").order_by("-pk")[:20],
        },
    )
