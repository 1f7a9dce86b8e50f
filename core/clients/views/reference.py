"""Serve the API reference: an OpenAPI document at /api/v1/openapi.json and a page in the admin."""

from functools import cache
from typing import Any

import msgspec
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from core.lib import openapi


@cache
def _document() -> dict[str, Any]:
    return openapi.document()


@csrf_exempt  # The CSRF check would answer other methods with a 403 instead of a 405.
@require_safe
def document(request: HttpRequest) -> HttpResponse:
    return HttpResponse(
        msgspec.json.encode(_document()),
        content_type="application/json",
        headers={"Cache-Control": "public, max-age=300"},
    )


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    description = _document()
    operations = [
        _operation(method, path, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
        if method not in ("options", "head")
    ]
    shapes = [
        {"name": name, "description": shape.get("description", ""), "members": _members(shape)}
        for name, shape in sorted(description["components"]["schemas"].items())
    ]
    context = {
        **admin.site.each_context(request),
        "title": "API reference",
        "lead": "Client apps use this API. Send your key as “Authorization: Bearer …”.",
        "operations": operations,
        "shapes": shapes,
    }
    return render(request, "clients/api_reference.html", context)


def _operation(method: str, path: str, operation: dict[str, Any]) -> dict[str, Any]:
    bodies = operation.get("requestBody", {}).get("content", {})
    notes, _, scope = operation.get("description", "").partition("Scope: `")
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation["summary"],
        "notes": notes.strip(),
        "scope": scope.removesuffix("`."),
        "parameters": operation.get("parameters", []),
        "takes": [_type(body["schema"]) for body in bodies.values()],
        "responses": [
            {
                "status": status,
                "description": response["description"],
                "shapes": [_type(body["schema"]) for body in response.get("content", {}).values()],
            }
            for status, response in operation["responses"].items()
        ],
    }


def _members(shape: dict[str, Any]) -> list[dict[str, Any]]:
    required = shape.get("required", [])
    return [
        {
            "name": name,
            "type": _type(member),
            "required": name in required,
            "bounds": _bounds(member),
        }
        for name, member in shape.get("properties", {}).items()
    ]


def _type(schema: dict[str, Any]) -> str:
    """Return the type that a JSON schema describes in words, such as "list of Item" or "string (uuid) or null"."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return f"{kind} ({schema['format']})" if "format" in schema else kind


_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matches {}",
}


def _bounds(schema: dict[str, Any]) -> str:
    parts = [words.format(schema[name]) for name, words in _BOUNDS.items() if name in schema]
    if schema.get("default") not in (None, "", [], {}):
        parts.append(f"default {schema['default']}")
    return ", ".join(parts)
