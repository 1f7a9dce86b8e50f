"""Report the outcome of a staff action, either with htmx events that refresh the list or on the next page."""

import json

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme

# A message whose extra tag consists of this prefix and a URL has a button that undoes the action.
UNDO_TAG = "undo:"
# An action changes at most this many rows, because each row takes a few statements.
MAX_ROWS = 2_000


def answer(
    request: HttpRequest, text: str, *, tone: str, list_event: str, back: str, undo_url: str = ""
) -> HttpResponse:
    """Report the outcome of an action, with a button that undoes it if `undo_url` is set.

    `tone` is "ok" or "warning". `list_event` is the event that refreshes the lists. Without htmx, redirect to the URL
    in the form's `next` or, if that is on another site, to `back`.
    """
    if request.headers.get("HX-Request"):
        events = {
            "portal:message": {"text": text, "tone": tone, "undo": undo_url},
            list_event: "",
        }
        return HttpResponse(status=204, headers={"HX-Trigger": json.dumps(events)})
    level = messages.SUCCESS if tone == "ok" else messages.WARNING
    messages.add_message(request, level, text, extra_tags=UNDO_TAG + undo_url if undo_url else "")
    return HttpResponseRedirect(safe_next_url(request, back))


def safe_next_url(request: HttpRequest, back: str) -> str:
    """Return the URL from the form's `next`, or `back` if that URL is on another site."""
    wanted = request.POST.get("next", "")
    is_safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, request.is_secure())
    return wanted if is_safe else back


def chosen_ids(request: HttpRequest, name: str) -> list[int]:
    """Return the ids of the checked rows, at most MAX_ROWS."""
    given = request.POST.getlist(name)
    return [int(one) for one in given if one.isdecimal() and len(one) < 19][:MAX_ROWS]


def wants_all_matching(request: HttpRequest) -> bool:
    """Return True if the action is for all rows that match the filters of the list, not only for the checked ones."""
    return request.POST.get("scope") == "matching"
