"""Provide the code that all endpoints for sentry-cli and the bundler plugins share.

The endpoints follow Sentry's API under `/api/0/`: the bearer token is a secret key with the scope `releases`, and
refusals have the form `{"detail": "…"}`. The key determines the app. The organization in the path may have any name;
the project must be the slug or the id of the app.
"""

import json
import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from core.clients.auth import NotAllowed, NotAuthenticated, authenticate
from core.clients.models import ClientApp, Scope
from core.lib.http import BadRequest, json_response
from errors.exceptions import BrokenUpload, StorageUnavailable

log = logging.getLogger(__name__)

P = ParamSpec("P")
CliView = Callable[Concatenate[HttpRequest, ClientApp, P], HttpResponse]
ORGANIZATION = "opsportal"
MAX_VERSION_LENGTH = 200


def refusal(status: int, detail: str, **headers: str) -> HttpResponse:
    return json_response({"detail": detail}, status=status, headers=headers)


def cli(
    *methods: str,
) -> Callable[[CliView[P]], Callable[Concatenate[HttpRequest, P], HttpResponse]]:
    """Return a decorator for views that sentry-cli calls. A view gets the key's app as its second argument.

    The decorator checks the method, the key and the project, and converts exceptions to refusals.
    """

    def decorate(view: CliView[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
        @csrf_exempt
        @wraps(view)
        def wrapper(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if request.method not in methods:
                return refusal(405, f"use {' or '.join(methods)}", Allow=", ".join(methods))
            try:
                app = authenticate(request, Scope.RELEASES)
                project = kwargs.get("project")
                if project is not None:
                    check_projects(app, [project])
                return view(request, app, *args, **kwargs)
            except NotAuthenticated:
                return refusal(
                    401, "Send a key with the scope releases as `Authorization: Bearer`."
                )
            except NotAllowed as error:
                return refusal(403, str(error))
            except BadRequest as error:
                return refusal(error.status, error.detail)
            except RequestDataTooBig:
                return refusal(413, "The body is too large.")
            except StorageUnavailable as error:
                log.error("source maps cannot be stored", exc_info=error)
                detail = "The storage of source maps is unavailable. Try again later."
                return refusal(503, detail, **{"Retry-After": "30"})
            except BrokenUpload as error:
                return refusal(400, str(error))

        return wrapper

    return decorate


def check_projects(app: ClientApp, projects: object) -> None:
    """Raise BadRequest if a project, given by slug or id, is not the key's app.

    The status is 400, because sentry-cli does not show the text of a 404.
    """
    for project in projects if isinstance(projects, list) else []:
        if str(project) not in (app.slug, str(app.pk)):
            raise BadRequest(
                f"The project {str(project)[:100]} does not exist, or the key belongs to another app"
                f" ({app.slug})."
            )


def read_object(request: HttpRequest) -> dict[str, Any]:
    """Return the JSON object in the body, or {} if the body is empty. Raises BadRequest for any other body."""
    if not request.body:
        return {}
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not valid JSON: {str(error)[:200]}") from None
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    return body


def text_of(body: dict[str, Any], name: str, max_length: int) -> str:
    """Return a string from the body, or "" if it is missing.

    Raises BadRequest unless it is a string without NUL characters of at most `max_length` characters.
    """
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise BadRequest(f"`{name}` must be a string without NUL characters")
    if len(value) > max_length:
        raise BadRequest(f"`{name}` has more than {max_length} characters")
    return value


def version_of(value: str) -> str:
    """Return the version of a release without surrounding spaces. Raises BadRequest if it is not a valid version."""
    version = value.strip()
    if not version or len(version) > MAX_VERSION_LENGTH or version in (".", ".."):
        raise BadRequest(f"a version must have 1 to {MAX_VERSION_LENGTH} characters")
    if any(character in version for character in "\n\r\t\f\v\0/\\"):
        raise BadRequest("a version must not contain slashes, tabs or line breaks")
    return version
