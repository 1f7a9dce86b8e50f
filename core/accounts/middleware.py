from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from core.accounts import audit

_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))


class AuditMiddleware:
    """Record every write by a signed-in user with its view, object ids and status, but without form fields."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method in _SAFE_METHODS or not request.path_info.startswith("/admin/"):
            return self.get_response(request)
        recorded: list[str] = []
        token = audit.recorded_actions.set(recorded)
        try:
            response = self.get_response(request)
        finally:
            audit.recorded_actions.reset(token)
        match = request.resolver_match
        user = request.user
        # In Django's admin, a 200 means that a form is shown again with errors. Our htmx views answer writes with a 200.
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
