"""Show the staff page of an app's keys: setup snippets, and issuing, rotating and revoking keys."""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from core.clients import services, snippets
from core.clients.extension_points import AppSection, app_sections
from core.clients.models import PORTAL_SCOPES, ApiKey, ClientApp, ClientKey, Scope
from core.lib.app_access import limit, sees_every_app

MAX_LABEL_LENGTH = 100
OF_EVERY_APP = (
    "A key with these permissions has access to every app, but you see only the apps of your teams. Ask an "
    "owner to create the key."
)
LIFETIMES = {"30": "in 30 days", "90": "in 90 days", "365": "in a year"}


@never_cache
@permission_required("clients.view_clientapp", raise_exception=True)
def key_list(request: HttpRequest, app_id: int) -> HttpResponse:
    return _page(request, get_object_or_404(limit(ClientApp.objects.all()), pk=app_id))


@require_POST
@permission_required("clients.add_clientkey", raise_exception=True)
def dsn_key_add(request: HttpRequest, app_id: int) -> HttpResponse:
    app = get_object_or_404(limit(ClientApp.objects.all()), pk=app_id)
    services.issue_dsn_key(app=app, label=_label(request))
    messages.success(request, "The DSN key was created.")
    return redirect("clients:key-list", app_id)


@require_POST
@permission_required(["clients.add_clientkey", "clients.change_clientkey"], raise_exception=True)
def dsn_key_rotate(request: HttpRequest, app_id: int, key_id: int) -> HttpResponse:
    key = get_object_or_404(limit(ClientKey.objects.all()), pk=key_id, app=app_id, revoked_at=None)
    services.rotate_dsn_key(key, now=timezone.now(), grace=_grace(request))
    messages.success(request, f"A new key was created. The old key {_old_key_validity(request)}.")
    return redirect("clients:key-list", app_id)


@require_POST
@permission_required("clients.change_clientkey", raise_exception=True)
def dsn_key_revoke(request: HttpRequest, app_id: int, key_id: int) -> HttpResponse:
    services.revoke(
        get_object_or_404(limit(ClientKey.objects.all()), pk=key_id, app=app_id), now=timezone.now()
    )
    messages.success(request, "The key was revoked. It stops working within a few seconds.")
    return redirect("clients:key-list", app_id)


@never_cache
@require_POST
@permission_required("clients.add_apikey", raise_exception=True)
def api_key_add(request: HttpRequest, app_id: int) -> HttpResponse:
    app = get_object_or_404(limit(ClientApp.objects.all()), pk=app_id)
    if _exceeds_apps(request.POST.getlist("scope")):
        messages.error(request, OF_EVERY_APP)
        return redirect("clients:key-list", app_id)
    try:
        key, secret = services.issue_api_key(
            app=app,
            scopes=request.POST.getlist("scope"),
            label=_label(request),
            expires_at=_expires_at(request),
        )
    except services.UnknownScope:
        messages.error(request, "Choose at least one permission for the key.")
        return redirect("clients:key-list", app_id)
    return _page(request, app, new_key=key, secret=secret)


@never_cache
@require_POST
@permission_required(["clients.add_apikey", "clients.change_apikey"], raise_exception=True)
def api_key_rotate(request: HttpRequest, app_id: int, key_id: int) -> HttpResponse:
    key = get_object_or_404(limit(ApiKey.objects.all()), pk=key_id, app=app_id, revoked_at=None)
    if _exceeds_apps(key.scopes):
        messages.error(request, OF_EVERY_APP)
        return redirect("clients:key-list", app_id)
    newer, secret = services.rotate_api_key(key, now=timezone.now(), grace=_grace(request))
    messages.success(request, f"A new key was created. The old key {_old_key_validity(request)}.")
    return _page(request, key.app, new_key=newer, secret=secret)


@require_POST
@permission_required("clients.change_apikey", raise_exception=True)
def api_key_revoke(request: HttpRequest, app_id: int, key_id: int) -> HttpResponse:
    services.revoke(
        get_object_or_404(limit(ApiKey.objects.all()), pk=key_id, app=app_id), now=timezone.now()
    )
    messages.success(request, "The key was revoked.")
    return redirect("clients:key-list", app_id)


def _exceeds_apps(scopes: Collection[str]) -> bool:
    """Return True if a key with these scopes reaches all apps, but the user sees only some of them."""
    return not sees_every_app() and not set(PORTAL_SCOPES).isdisjoint(scopes)


def _page(
    request: HttpRequest, app: ClientApp, new_key: ApiKey | None = None, secret: str = ""
) -> HttpResponse:
    """Render the page. `secret` belongs to `new_key` and is shown in this response only."""
    now = timezone.now()
    revoked_last = (F("revoked_at").asc(nulls_first=True), "-created_at", "-pk")
    dsn_keys = list(app.keys.order_by(*revoked_last))
    live = [key for key in dsn_keys if not key.revoked_at or key.revoked_at > now]
    context = {
        **admin.site.each_context(request),
        "title": f"Keys of {app.name}",
        "lead": "The keys that the app uses to report and to call the API.",
        "app": app,
        "now": now,
        "live_keys": live,
        "revoked_keys": [key for key in dsn_keys if key not in live],
        "snippets": snippets.for_app(app, live[0]) if live and app.is_active else [],
        "api_keys": app.api_keys.order_by(*revoked_last),
        "scopes": Scope.choices,
        "lifetimes": LIFETIMES.items(),
        "sections": [
            {"title": section.title, "icon": section.icon, "html": html}
            for section in sorted(app_sections, key=lambda section: section.order)
            if (html := _section_html(request, section, app, now))
        ],
        "key_snippets": snippets.for_api_key(app, new_key, secret) if new_key is not None else [],
        "new_key": new_key,
        "secret": secret,
    }
    return render(request, "clients/keys.html", context)


def _section_html(request: HttpRequest, section: AppSection, app: ClientApp, now: datetime) -> str:
    context = section.load(app, now)
    if context is None:
        return ""
    return render_to_string(section.template, {"app": app, **context}, request)


def _label(request: HttpRequest) -> str:
    return request.POST.get("label", "").strip()[:MAX_LABEL_LENGTH] or "default"


def _expires_at(request: HttpRequest) -> datetime | None:
    days = request.POST.get("days", "")
    return timezone.now() + timedelta(days=int(days)) if days in LIFETIMES else None


def _grace(request: HttpRequest) -> timedelta:
    return timedelta(0) if request.POST.get("when") == "now" else services.ROTATION_GRACE_PERIOD


def _old_key_validity(request: HttpRequest) -> str:
    return "stays valid for 24 hours" if _grace(request) else "no longer works"
