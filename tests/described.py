"""Check API responses against the OpenAPI document. tests/conftest.py checks all responses to the test client."""

import json
import re
from functools import cache
from typing import Any

from django.http.response import HttpResponseBase
from django.test.client import Client
from jsonschema import Draft202012Validator, FormatChecker

from core.lib import openapi

# Any operation may return these statuses: for an invalid host, a wrong method, or too many requests.
UNDOCUMENTED = {
    400,
    405,
    429,
}


@cache
def document() -> dict[str, Any]:
    return json.loads(json.dumps(openapi.document(), default=str))  # type: ignore[no-any-return]


@cache
def patterns() -> list[tuple[re.Pattern[str], str]]:
    """Return a pattern for each path. Paths without parameters come first, so that no id pattern matches `…/stats/`."""
    paths = sorted(document()["paths"], key=lambda path: (path.count("{"), path))
    return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path) for path in paths]


@cache
def validator(pointer: str) -> Draft202012Validator:
    schema = {**document(), "$ref": pointer}
    return Draft202012Validator(schema, format_checker=FormatChecker())


def check(method: str, path: str, status: int, content_type: str, body: bytes) -> None:
    """Raise an AssertionError that names the difference if the response does not match the OpenAPI document."""
    template = next((known for pattern, known in patterns() if pattern.fullmatch(path)), None)
    if template is None:
        return
    where = f"{method} {path} answered {status}"
    operation = document()["paths"][template].get(method.lower())
    response = operation["responses"].get(str(status)) if operation else None
    if response is None and status in UNDOCUMENTED:
        return
    assert response is not None, f"{where}, which is not documented: {body[:300]!r}"
    if method == "HEAD" or not response.get("content"):
        assert not body, f"{where} with a body that is not documented: {body[:300]!r}"
        return
    kind = content_type.partition(";")[0]
    assert kind in response["content"], f"{where} as {kind}: {body[:300]!r}"
    pointer = "/".join(
        part.replace("~", "~0").replace("/", "~1")
        for part in (
            "paths",
            template,
            method.lower(),
            "responses",
            str(status),
            "content",
            kind,
            "schema",
            *((openapi.LINE,) if kind == openapi.NDJSON else ()),
        )
    )
    documents = body.splitlines() if kind == openapi.NDJSON else [body]
    validate = validator(f"#/{pointer}").iter_errors
    problems = [e.message for one in documents for e in validate(json.loads(one))]
    assert not problems, f"{where}: {problems}"


def watch_test_client() -> None:
    """Check every API response that the test client receives after this call."""
    original = Client.request

    def request(self: Client, **environ: Any) -> HttpResponseBase:
        response = original(self, **environ)
        path, method = environ.get("PATH_INFO", "/"), environ.get("REQUEST_METHOD", "GET")
        if path.startswith("/api/"):
            if response.streaming:
                response.streaming_content = parts = list(response)  # type: ignore[attr-defined]
                body = b"".join(parts)
            else:
                body = response.content
            check(method, path, response.status_code, response.get("Content-Type", ""), body)
        return response

    Client.request = request  # type: ignore[method-assign, assignment]
