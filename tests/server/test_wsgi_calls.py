"""Test which responses count as streams, whose number at any time is limited."""

from collections.abc import Callable, Iterator
from io import BytesIO
from threading import BoundedSemaphore
from typing import Any

import pytest
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponseBase, StreamingHttpResponse
from pytest_django import Settings

from opsportal.server.wsgi_calls import Environ, Headers, run_wsgi


@pytest.fixture
def no_free_stream() -> BoundedSemaphore:
    streams = BoundedSemaphore(1)
    streams.acquire()
    return streams


def open_stream(_status: int, _headers: Headers) -> Callable[[bytes], None]:
    return sent.append


sent: list[bytes] = []


@pytest.fixture(autouse=True)
def nothing_sent() -> Iterator[None]:
    sent.clear()
    yield
    sent.clear()


def environ(path: str, **headers: str) -> Environ:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.input": BytesIO(),
        "wsgi.url_scheme": "http",
        **headers,
    }


def exporting(_environ: Environ, start_response: Callable[..., Any]) -> HttpResponseBase:
    start_response("200 OK", [("Content-Type", "text/csv")])
    return StreamingHttpResponse([b"first,", b"second"])


def test_unchanged_static_files_are_answered_while_all_streams_are_in_use(
    no_free_stream: BoundedSemaphore, settings: Settings
) -> None:
    settings.WHITENOISE_USE_FINDERS = True  # Tests do not collect static files.
    portal = get_wsgi_application()
    path = "/static/opsportal/portal.css"

    answer = run_wsgi(portal, environ(path), open_stream, no_free_stream)
    assert answer is not None
    status, headers, body = answer
    assert status == 200
    assert len(body) > 1_000
    modified = {"HTTP_IF_MODIFIED_SINCE": dict(headers)["Last-Modified"]}
    again = run_wsgi(portal, environ(path, **modified), open_stream, no_free_stream)

    assert again is not None
    assert (again[0], again[2]) == (304, b"")


def test_an_export_is_refused_while_all_streams_are_in_use_and_streamed_afterwards(
    no_free_stream: BoundedSemaphore,
) -> None:
    refused = run_wsgi(exporting, environ("/"), open_stream, no_free_stream)
    assert refused is not None
    assert refused[0] == 503
    assert ("Retry-After", "30") in refused[1]
    assert sent == []

    no_free_stream.release()
    assert run_wsgi(exporting, environ("/"), open_stream, no_free_stream) is None
    assert sent == [b"first,", b"second"]
    assert no_free_stream.acquire(blocking=False)  # The stream must be free again.
