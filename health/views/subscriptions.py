"""Subscribing to mails about incidents, and unsubscribing; no sign-in."""

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from health.services import subscribers
from opsportal.lib import ratelimit
from opsportal.lib.addresses import address_of, network_of


@csrf_exempt  # the page is cached and knows no visitor; nothing here acts for somebody signed in
@require_POST
@never_cache
def subscribe(request: HttpRequest) -> HttpResponse:
    address = request.POST.get("address", "").strip()
    try:
        validate_email(address)
        if len(address) > 254:
            raise ValidationError("too long")
    except ValidationError:
        return _say(request, "That is not an e-mail address", "Go back and correct it.", 400)
    if not ratelimit.hit(f"status-subscribe:{network_of(address_of(request))}", 5, 3600).allowed:
        return _say(request, "Too many at once", "Try again in an hour.", 429)
    subscribers.subscribe(address, now=timezone.now())
    return _say(
        request,
        "Check your mail",
        "If the address is not subscribed yet, a mail with a link to confirm it is on its way.",
    )


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """A button first: mail programs follow links by themselves."""
    if request.method != "POST":
        return _say(request, "Mails about incidents", "", button="Yes, send me mails")
    if subscribers.confirm(token, now=timezone.now()):
        return _say(request, "Confirmed", "You will hear of incidents, and of nothing else.")
    return _say(request, "This link is not known", "It may have expired: subscribe again.", 404)


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def leave(request: HttpRequest, token: str) -> HttpResponse:
    if request.method != "POST":
        return _say(request, "No more mails?", "", button="Unsubscribe")
    subscribers.unsubscribe(token)
    return _say(request, "Unsubscribed", "The address has been deleted.")


def _say(
    request: HttpRequest, headline: str, text: str, code: int = 200, *, button: str = ""
) -> HttpResponse:
    context = {"title": headline, "text": text, "button": button}
    return HttpResponse(render_to_string("health/status_message.html", context), status=code)
