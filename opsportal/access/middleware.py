from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from opsportal.access import audit

_READING = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))


class AuditMiddleware:
    """Every write of somebody signed in is recorded: which address, for which id, how it was answered; not its fields."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method in _READING or not request.path_info.startswith("/admin/"):
            return self.get_response(request)
        recorded: list[str] = []
        token = audit.recorded_here.set(recorded)
        try:
            response = self.get_response(request)
        finally:
            audit.recorded_here.reset(token)
        match = request.resolver_match
        user = request.user
        # A form that comes back with its errors (200) changed nothing; a part for htmx did.
        refused = response.status_code == 200 and match is not None and match.app_names == ["admin"]
        if match is None or recorded or refused or not user.is_authenticated:
            return response
        chosen = [f"{name} {value}" for name, value in match.kwargs.items()]
        selected = request.POST.getlist("_selected_action") or request.POST.getlist("id")
        if selected:
            chosen.append(f"ids {', '.join(selected[:20])}{' …' if len(selected) > 20 else ''}")
        action = request.POST.get("action", "")
        audit.record(
            user,
            match.view_name,
            target="; ".join(chosen),
            detail=f"action {action}" if action.isidentifier() else "",
            status=response.status_code,
        )
        return response
