"""Serve `/api/v1/config/<kind>/`: list, read, create, change and delete objects of every kind in the same way."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from core.clients.api import api
from core.clients.auth import describe_caller
from core.clients.models import ClientApp
from core.config import secrets, services
from core.config.extension_points import InvalidConfig, Resource, Values
from core.config.values import given_type, members_of
from core.lib.http import BadRequest, json_response, problem, read_json
from core.lib.keyset import keyset_page

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
MAX_ID = 2**63 - 1


def page_type(resource: Resource, shown: Any) -> Any:
    """Return the struct of a page of objects. `next_cursor` is the cursor of the next page, or "" on the last one."""
    return msgspec.defstruct(
        f"{resource.model._meta.object_name}List",
        [(resource.kind.replace("-", "_"), list[shown]), ("next_cursor", str)],
        forbid_unknown_fields=True,
    )


Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)]
View = Callable[..., HttpResponseBase]


def list_view(resource: Resource) -> View:
    """Return the view of a kind: GET lists its objects, POST creates one."""

    @api(resource.read_scope, "GET", permission=resource.permission("view"), needs_app=False)
    def list_objects(request: HttpRequest, app: ClientApp | None) -> HttpResponse:
        members = members_of(resource)
        rows = members.prefetched(resource.rows())
        if (name := _parameter(request, resource.key)) != "":
            rows = rows.filter(**{resource.key: name})
        page = keyset_page(
            rows, field="id", cursor=_parameter(request, "cursor"), size=_limit(request)
        )
        shown = [show(resource, row) for row in page.rows]
        return json_response(
            {resource.kind.replace("-", "_"): shown, "next_cursor": page.next_cursor}
        )

    @api(resource.write_scope, "POST", permission=resource.permission("add"), needs_app=False)
    def create_object(request: HttpRequest, app: ClientApp | None) -> HttpResponse:
        given = _given(resource, request)
        try:
            change = services.create(resource, given, by=_by(request, app))
        except (InvalidConfig, services.KeyTaken) as refusal:
            return _refuse(refusal)
        return json_response(show(resource, _row(resource, change.row.pk)), status=201)

    return _by_method({"GET": list_objects, "POST": create_object})


def object_view(resource: Resource) -> View:
    """Return the view of an object: GET reads it, PATCH changes the members that are sent, DELETE deletes it."""

    @api(resource.read_scope, "GET", permission=resource.permission("view"), needs_app=False)
    def read_object(request: HttpRequest, app: ClientApp | None, object_id: int) -> HttpResponse:
        return json_response(show(resource, _row(resource, object_id)))

    @api(resource.write_scope, "PATCH", permission=resource.permission("change"), needs_app=False)
    def change_object(request: HttpRequest, app: ClientApp | None, object_id: int) -> HttpResponse:
        row = _row(resource, object_id)
        try:
            services.update(resource, row, _given(resource, request), by=_by(request, app))
        except (InvalidConfig, services.KeyTaken) as refusal:
            return _refuse(refusal)
        return json_response(show(resource, _row(resource, object_id)))

    @api(resource.write_scope, "DELETE", permission=resource.permission("delete"), needs_app=False)
    def delete_object(request: HttpRequest, app: ClientApp | None, object_id: int) -> HttpResponse:
        try:
            services.delete(resource, _row(resource, object_id), by=_by(request, app))
        except services.CannotDelete as refusal:
            return problem(409, str(refusal))
        return HttpResponse(status=204)

    return _by_method({"GET": read_object, "PATCH": change_object, "DELETE": delete_object})


def show(resource: Resource, row: Any) -> Values:
    values = secrets.hide(resource, members_of(resource).read(row))
    return {"id": row.pk, **values, **resource.shown(row)}


def _by_method(views: dict[str, View]) -> View:
    @csrf_exempt
    def view(request: HttpRequest, **arguments: Any) -> HttpResponseBase:
        method = request.method or ""
        if method not in views:
            allowed = ", ".join(views)
            return problem(405, f"use {allowed}", headers={"Allow": allowed})
        return views[method](request, **arguments)

    return view


def _given(resource: Resource, request: HttpRequest) -> Values:
    shape = given_type(resource)
    given: Values = msgspec.to_builtins(read_json(request, shape))
    return given


def _row(resource: Resource, object_id: int) -> Any:
    rows = members_of(resource).prefetched(resource.rows())
    row = rows.filter(pk=object_id).first() if object_id <= MAX_ID else None
    if row is None:
        raise BadRequest(f"there is no such {resource.model._meta.verbose_name}", 404)
    return row


def _refuse(refusal: InvalidConfig | services.KeyTaken) -> HttpResponse:
    if isinstance(refusal, InvalidConfig):
        return problem(422, str(refusal), errors=refusal.problems)
    return problem(409, str(refusal))


def _by(request: HttpRequest, app: ClientApp | None) -> str:
    return f"The change was made with {describe_caller(request, app)}."


def _parameter(request: HttpRequest, name: str) -> str:
    return request.GET.get(name, "").replace("\0", "")[:500]


def _limit(request: HttpRequest) -> int:
    try:
        given = msgspec.convert(_parameter(request, "limit") or DEFAULT_LIMIT, Limit, strict=False)
    except msgspec.ValidationError:
        raise BadRequest(f"`limit` must be a number from 1 to {MAX_LIMIT}", 422) from None
    return int(given)
