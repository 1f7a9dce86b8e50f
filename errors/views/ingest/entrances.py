"""The ways into ingestion, which give the same answers."""

import re
from collections.abc import Callable, Iterable
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from errors.store.commit import Unavailable
from errors.store.write import Written
from errors.store.writer import writer
from errors.views.ingest.addresses import Request, handle, match
from errors.views.ingest.afterwards import afterwards
from errors.views.ingest.answers import REASONS, Answer, Headers

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]
Respond = Callable[[int, Headers, bytes], None]


def _address(environ: Environ) -> re.Match[str] | None:
    path: str = environ.get("PATH_INFO", "")
    return match(path) if path.startswith(("/api", "//", "/tunnel")) else None


def _headers(answer: Answer) -> Headers:
    return [*answer.headers, ("Content-Length", str(len(answer.body)))]


def answer_when_stored(environ: Environ, respond: Respond) -> bool:
    """Have `respond` called with the answer, by whichever thread has it; False for an address that is not ingestion's.

    A thread that waits for the store must be woken and win the interpreter's lock back, for each event (measured: a sixth
    of all CPU time); so none does, and a few threads serve any number of senders.
    """
    address = _address(environ)
    if address is None:
        return False
    request = Request(environ, address)

    def finish(outcome: Written | Exception) -> None:
        answer = request.finish(outcome)
        respond(answer.status, _headers(answer), answer.body)

    begun = request.begin()
    if isinstance(begun, Answer):
        respond(begun.status, _headers(begun), begun.body)
        return True

    def stored(outcome: Written | Exception) -> None:
        if begun.others:
            afterwards.finish(finish, outcome, begun.size)
        else:
            finish(outcome)

    try:
        writer.store_and_call(begun.read, begun.size, stored)
    except Unavailable as is_full:
        finish(is_full)
    return True


def in_front_of(application: Application) -> Application:
    """A WSGI application that answers ingestion's addresses itself and hands everything else on.

    Sessions, messages, CSRF and the rest of the middleware are of no use here and cost more than the work itself
    (measured: three times as many events a second without them).
    """

    def ingest(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        address = _address(environ)
        if address is None:
            return application(environ, start_response)
        answer = handle(environ, address)
        start_response(REASONS[answer.status], _headers(answer))
        return [answer.body]

    return ingest


@csrf_exempt
def view(request: HttpRequest, **_: object) -> HttpResponseBase:
    response: HttpResponseBase
    address = match(request.path_info)
    if address is None:
        return HttpResponse(status=404)
    status, headers, body = handle(request.environ, address)  # type: ignore[attr-defined]
    # A stream is left alone by the middleware that explains empty refusals; sentry-php needs an empty 429.
    response = (
        HttpResponse(body, status=status) if body else StreamingHttpResponse([], status=status)
    )
    del response["Content-Type"]
    for name, value in headers:
        response[name] = value
    return response
