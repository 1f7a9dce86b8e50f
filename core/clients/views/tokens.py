"""Show the page on which people create and revoke their own tokens for the API."""

from datetime import timedelta

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from core.clients import services
from core.clients.models import PERSONAL_SCOPES, PersonalToken
from core.clients.views.keys import LIFETIMES, MAX_LABEL_LENGTH

MAX_LIVE_TOKENS = 20


@never_cache
def token_list(request: HttpRequest) -> HttpResponse:
    return _page(request)


@never_cache
@require_POST
def token_add(request: HttpRequest) -> HttpResponse:
    """Create a token. Only this response shows its secret."""
    assert isinstance(request.user, User)
    now = timezone.now()
    days, label = request.POST.get("days", ""), request.POST.get("label", "").strip()
    if PersonalToken.objects.live().filter(user=request.user).count() >= MAX_LIVE_TOKENS:
        problem = f"You have {MAX_LIVE_TOKENS} tokens. Before you create another, revoke one that you no longer need."
    elif not label or days not in LIFETIMES:
        problem = "Enter what the token is for, and choose when it expires."
    else:
        try:
            _, secret = services.issue_personal_token(
                user=request.user,
                scopes=request.POST.getlist("scope"),
                label=label[:MAX_LABEL_LENGTH],
                expires_at=now + timedelta(days=int(days)),
                now=now,
            )
        except services.UnknownScope:
            problem = "Choose at least one permission for the token."
        else:
            return _page(request, secret=secret)
    messages.error(request, problem)
    return redirect("clients:token-list")


@require_POST
def token_revoke(request: HttpRequest, token_id: int) -> HttpResponse:
    token = get_object_or_404(PersonalToken, pk=token_id, user=request.user)
    services.revoke(token, now=timezone.now())
    messages.success(request, f"The token “{token.label}” no longer works.")
    return redirect("clients:token-list")


def _page(request: HttpRequest, *, secret: str = "") -> HttpResponse:
    assert isinstance(request.user, User)
    now = timezone.now()
    tokens = PersonalToken.objects.filter(user=request.user).order_by("-created_at", "-pk")
    context = {
        **admin.site.each_context(request),
        "title": "API tokens",
        "lead": "Tokens are your personal keys for the API. A token can do no more than you can, and only in the apps "
        "you can see.",
        "tokens": [(token, token.state(now)) for token in tokens],
        "scopes": [(scope.value, scope.label) for scope in PERSONAL_SCOPES],
        "lifetimes": LIFETIMES.items(),
        "secret": secret,
    }
    return render(request, "clients/tokens.html", context)
