"""Show people where they are signed in, and let them sign out elsewhere."""

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from core.accounts.models import UserSession
from core.accounts.services import sessions


def _person(request: HttpRequest, user_id: int | None) -> User:
    """Return the person whose sessions are requested. Raises PermissionDenied unless the user may see them."""
    assert isinstance(request.user, User)
    if user_id is None or user_id == request.user.pk:
        return request.user
    if not request.user.has_perm("auth.change_user"):
        raise PermissionDenied
    return get_object_or_404(User, pk=user_id)


@never_cache
@require_GET
def session_list(request: HttpRequest, user_id: int | None = None) -> HttpResponse:
    """Show the sessions of the signed-in person or, to owners, of another person."""
    person = _person(request, user_id)
    is_own = person == request.user
    name = person.get_full_name() or person.get_username()
    context = {
        **admin.site.each_context(request),
        "title": "Sessions" if is_own else f"Sessions of {name}",
        "lead": "The browsers in which you are signed in."
        if is_own
        else "The browsers in which this person is signed in.",
        "person": person,
        "is_own": is_own,
        "current": request.session.get(sessions.MARK),
        "sessions": UserSession.objects.live().filter(user=person).order_by("-last_seen_at", "-pk"),
    }
    return render(request, "access/sessions.html", context)


@require_POST
def session_end(request: HttpRequest, session_id: int) -> HttpResponse:
    row = get_object_or_404(UserSession, pk=session_id)
    person = _person(request, row.user_id)
    sessions.end(row)
    messages.success(request, f"{row.device} was signed out.")
    return _back(request, person)


@require_POST
def session_end_others(request: HttpRequest, user_id: int | None = None) -> HttpResponse:
    """End all sessions of the person except the current session."""
    person = _person(request, user_id)
    others = UserSession.objects.live().filter(user=person)
    count = sessions.end(list(others.exclude(pk=request.session.get(sessions.MARK, 0))))
    messages.success(
        request, f"{count} other browser{' was' if count == 1 else 's were'} signed out."
    )
    return _back(request, person)


def _back(request: HttpRequest, person: User) -> HttpResponse:
    if person == request.user:
        return redirect("access:session-list")
    return redirect("access:session-list-of", person.pk)
