"""Holds what the API really answers against its description: tests/conftest.py has every answer of the test client checked."""

import json
import re
from functools import cache
from typing import Any

from django.http.response import HttpResponseBase
from django.test.client import Client
from jsonschema import Draft202012Validator, FormatChecker

from core.lib import openapi

ALWAYS = {400, 405, 429}  # another host's name, a method that is not taken, too many calls


@cache
def document() -> dict[str, Any]:
    return json.loads(json.dumps(openapi.document(), default=str))  # type: ignore[no-any-return]


@cache
def patterns() -> list[tuple[re.Pattern[str], str]]:
    """Addresses without parameters first: `…/stats/` is no reference."""
    paths = sorted(document()["paths"], key=lambda path: (path.count("{"), path))
    return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), path) for path in paths]


@cache
def validator(pointer: str) -> Draft202012Validator:
    whole = {**document(), "$ref": pointer}
    return Draft202012Validator(whole, format_checker=FormatChecker())


def check(method: str, path: str, status: int, content_type: str, body: bytes) -> None:
    """Nothing, or an AssertionError that says how the answer is not as described."""
    found = next((known for pattern, known in patterns() if pattern.fullmatch(path)), None)
    if found is None:
        return
    where = f"{method} {path} answered {status}"
    described = document()["paths"][found].get(method.lower())
    answer = described["responses"].get(str(status)) if described else None
    if answer is None and status in ALWAYS:
        return
    assert answer is not None, f"{where}, which is not described: {body[:300]!r}"
    if method == "HEAD" or not answer.get("content"):
        assert not body, f"{where} with a body that is not described: {body[:300]!r}"
        return
    kind = content_type.partition(";")[0]
    assert kind in answer["content"], f"{where} as {kind}: {body[:300]!r}"
    pointer = "/".join(
        part.replace("~", "~0").replace("/", "~1")
        for part in (
            "paths",
            found,
            method.lower(),
            "responses",
            str(status),
            "content",
            kind,
            "schema",
        )
    )
    problems = [e.message for e in validator(f"#/{pointer}").iter_errors(json.loads(body))]
    assert not problems, f"{where}: {problems}"


def watch_test_client() -> None:
    """From now on every answer to a test's client is checked."""
    answer = Client.request

    def request(self: Client, **environ: Any) -> HttpResponseBase:
        response = answer(self, **environ)
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
