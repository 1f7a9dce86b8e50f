from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from core.accounts.services import audit, sessions
from core.lib import app_access

_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
_AUDITED_PATHS = ("/admin/", "/api/v1/")


class UserMiddleware(AuthenticationMiddleware):
    """Django's authentication middleware, extended to record that `request.user` was loaded (see `loaded_user`)."""

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = SimpleLazyObject(partial(_load_user, request))  # type: ignore[assignment]


def _load_user(request: HttpRequest) -> AbstractBaseUser | AnonymousUser:
    user = get_user(request)
    request.loaded_user = user  # type: ignore[attr-defined]
    return user


def loaded_user(request: HttpRequest) -> AbstractBaseUser | AnonymousUser | None:
    """Return the user if it has already been loaded, else None. Unlike `request.user`, this runs no query."""
    return getattr(request, "loaded_user", None)


class SessionsMiddleware:
    """Middleware that records each signed-in person's sessions, and about when each of them was last used."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        user = loaded_user(request)
        if not isinstance(user, User) or hasattr(request, "personal_token"):
            return response
        session, now = request.session, timezone.now()
        if session.session_key:
            sent = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
            if sessions.MARK not in session or session.session_key != sent:
                sessions.track_older(request, user, now=now)
            sessions.session_uses.add(session[sessions.MARK], now)
        return response


class AppAccessMiddleware:
    """Middleware that limits each response, unless it streams asynchronously, to the apps that its reader may see."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with app_access.reading_as(lambda: request.user):
            response = self.get_response(request)
            if isinstance(response, StreamingHttpResponse) and not response.is_async:
                parts = cast(Iterator[bytes], response.streaming_content)
                response.streaming_content = app_access.in_same_context(parts)
            return response


class AuditMiddleware:
    """Middleware that records writes by people with view, object ids, action and status, but without other form fields.

    The person is signed in on a page of the admin, or calls the API with a personal token. A write that the view has
    recorded itself, or whose form is invalid, is not recorded here.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        is_page = request.path_info.startswith("/admin/")
        if request.method in _SAFE_METHODS or not request.path_info.startswith(_AUDITED_PATHS):
            return self.get_response(request)
        recorded: list[str] = []
        token = audit.recorded_actions.set(recorded)
        try:
            response = self.get_response(request)
        finally:
            audit.recorded_actions.reset(token)
        match = request.resolver_match
        if not is_page and not hasattr(request, "personal_token"):
            return response
        user = request.user
        # In Django's admin, a 200 means that a form is shown again with errors, so nothing was written. The portal's
        # own views also answer successful htmx requests with a 200.
        is_invalid_form = (
            response.status_code == 200 and match is not None and match.app_names == ["admin"]
        )
        if match is None or recorded or is_invalid_form or not user.is_authenticated:
            return response
        targets = [f"{name} {value}" for name, value in match.kwargs.items()]
        selected = request.POST.getlist("_selected_action") or request.POST.getlist("id")
        if selected:
            targets.append(f"ids {', '.join(selected[:20])}{' …' if len(selected) > 20 else ''}")
        action = request.POST.get("action", "")
        audit.record(
            user,
            match.view_name,
            target="; ".join(targets),
            detail=f"action {action}" if action.isidentifier() else "",
            status=response.status_code,
        )
        return response
