"""Test that the API description is complete and valid. tests/described.py compares API responses with it."""

import ipaddress
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from jsonschema import Draft202012Validator

from core.lib import openapi
from errors.ingest.authentication import key_cache
from tests import described
from tests.factories import make_app

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
EXAMPLES = {
    "pk": "1",
    "override_id": "1",
    "reference": "7f0c2b86-0000-4000-8000-000000000000",
    "key": "7f0c2b86-0000-4000-8000-000000000000",
    "project_id": "1",
    "slug": "event",
    "step": "start",
    "organization": "acme",
    "project": "shop",
    "version": "1.0",
    "endpoint": "default",
    "monitor": "nightly",
    "group_id": "1",
    "object_id": "1",
    "event_id": "00000000-0000-4000-8000-000000000000",
    "kind": "group",
    "id": "1",
}

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return described.document()


def test_every_url_of_the_api_is_described(document: dict[str, Any]) -> None:
    routes = {
        name
        for name, route in openapi.routes().items()
        if re.match(r"\^?(\(.*\))?(api|v1)/", route)
    }

    assert routes >= {"errors:error-report", "errors:envelope-receive", "payments:payment-create"}
    assert {operation.url for operation in openapi.registry} == routes | {"errors:ingest-other"}


def test_exactly_the_allowed_methods_are_described(document: dict[str, Any]) -> None:
    app = make_app("shop")
    wrong = []
    hosts = ipaddress.ip_network("10.0.0.0/8").hosts()
    for path, operations in document["paths"].items():
        address = re.sub(r"\{(\w+)\}", lambda match: EXAMPLES[match[1]], path)
        address = address.replace("/api/1/", f"/api/{app.pk}/")
        for method in METHODS:
            key_cache.clear()
            # Use another address for each request, because the rate limit counts by address.
            client = Client(REMOTE_ADDR=str(next(hosts)))
            answer = client.generic(method, address, b"{}", "application/json")
            if (answer.status_code != 405) != (method.lower() in operations):
                wrong.append(f"{method} {path}: {answer.status_code}")

    assert wrong == []


def test_every_operation_describes_its_refusals(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            statuses = set(operation["responses"])
            assert {"429", "503"} <= statuses, (method, path)
            if operation["security"]:
                assert {"401", "403"} <= statuses, (method, path)
            if "requestBody" in operation:
                assert {"400", "413"} <= statuses, (method, path)


def test_operations_that_change_data_have_a_detailed_description(
    document: dict[str, Any],
) -> None:
    short = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if set(operation["tags"]) & {"alerts", "payments", "reservations"}:
                notes, _, _ = operation.get("description", "").partition("Scope: `")
                if method in ("post", "put", "patch", "delete") and len(notes) < 60:
                    short.append(f"{method} {path}")

    assert short == []


def test_the_reference_page_shows_notes_and_scope(admin_client: Client) -> None:
    page = admin_client.get(reverse("clients:api-reference")).content.decode()
    _, _, extend = page.partition("Extend the hold of a reservation to 15 minutes from now.")

    assert "<p>A reservation can be extended 4 times, and only before it expires." in extend
    assert '<span class="badge push">reservations</span>' in page
    assert "Scope: `" not in page


def test_the_document_is_valid_and_consistent(document: dict[str, Any]) -> None:
    components = document["components"]["schemas"]
    for name, schema in components.items():
        Draft202012Validator.check_schema(schema)
        assert schema["title"] == name
    references = set(re.findall(r"#/components/schemas/([\w.]+)", str(document)))
    assert references <= set(components)
    ids = [o["operationId"] for methods in document["paths"].values() for o in methods.values()]
    assert len(ids) == len(set(ids))
    for path, operations in document["paths"].items():
        named = set(re.findall(r"\{(\w+)\}", path))
        for operation in operations.values():
            given = [p for p in operation.get("parameters", []) if p["in"] == "path"]
            assert {p["name"] for p in given} == named, path


# The media types that openapi-python-client can send.
MEDIA_TYPES = {"application/json", "application/octet-stream", "multipart/form-data"}


def test_client_generators_find_everything_that_they_need(document: dict[str, Any]) -> None:
    """Test that request bodies have only MEDIA_TYPES, and that no array lacks items and no enum has booleans.

    openapi-python-client warns about violations.
    """

    def visit(schema: Any, where: str) -> None:
        if isinstance(schema, dict):
            if schema.get("type") == "array":
                assert schema.keys() & {"items", "prefixItems"}, where
            if isinstance(schema.get("enum"), list):
                assert not any(isinstance(value, bool) for value in schema["enum"]), where
            for name, value in schema.items():
                visit(value, f"{where}/{name}")
        elif isinstance(schema, list):
            for value in schema:
                visit(value, where)

    visit(document["paths"], "paths")
    visit(document["components"], "components")
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert set(operation.get("requestBody", {}).get("content", {})) <= MEDIA_TYPES, path


def test_amounts_have_a_minimum_and_a_maximum(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    for name in ("CreatePayment", "PaymentCreated"):
        amount = schemas[name]["properties"]["amount"]
        assert amount["maximum"] == 999_999_999_999
        assert amount["minimum"] in (0, 1)


def test_the_idempotency_key_has_a_minimum_and_a_maximum_length(document: dict[str, Any]) -> None:
    parameters = document["paths"]["/api/v1/payments/"]["post"]["parameters"]

    [key] = [one["schema"] for one in parameters if one["name"] == "Idempotency-Key"]

    assert (key["minLength"], key["maxLength"]) == (1, 255)
    assert re.search(key["pattern"], "order-1042")
    assert not re.search(key["pattern"], "order\t1042")


def test_the_document_is_served_and_shown_to_staff(client: Client, admin_client: Client) -> None:
    served = client.get("/api/v1/openapi.json")
    page = admin_client.get("/admin/apps/api/")

    assert served.json()["paths"] == described.document()["paths"]
    assert served["Content-Type"] == "application/json"
    for text in ("POST /api/v1/payments/", "CreatePayment", "list of Item", "at least 1"):
        assert text in page.content.decode()
    assert client.get("/admin/apps/api/").status_code == 302


def test_a_response_that_differs_from_its_description_is_detected() -> None:
    good = b'{"accepted": 1, "duplicate": false}'
    described.check("POST", "/api/v1/signals/", 202, "application/json", good)
    for status, body in [(202, b'{"accepted": "1", "duplicate": false}'), (418, good)]:
        with pytest.raises(AssertionError):
            described.check("POST", "/api/v1/signals/", status, "application/json", body)
