"""Subscribe to e-mails about incidents, and unsubscribe. These pages need no sign-in."""

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from core.lib import ratelimit
from core.lib.addresses import address_of, network_of
from health.services import subscribers

MAX_ADDRESS_LENGTH = 254
MAX_REQUESTS_PER_HOUR = 5  # maximum per client network


@csrf_exempt  # the status page is cached and shared, so it cannot carry a token; the client is never signed in here
@require_POST
@never_cache
def subscribe(request: HttpRequest) -> HttpResponse:
    """Send a confirmation link. The response does not reveal whether the address is already subscribed."""
    address = request.POST.get("address", "").strip()
    try:
        validate_email(address)
        if len(address) > MAX_ADDRESS_LENGTH:
            raise ValidationError("too long")
    except ValidationError:
        return _message("Invalid e-mail address", "Go back and correct the address.", status=400)
    key = f"status-subscribe:{network_of(address_of(request))}"
    if not ratelimit.acquire(key, MAX_REQUESTS_PER_HOUR, 3600).allowed:
        return _message("Too many requests", "Try again in an hour.", status=429)
    subscribers.subscribe(address, now=timezone.now())
    return _message(
        "Check your inbox",
        "If this address is not subscribed yet, you will receive an e-mail with a confirmation link.",
    )


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Confirm on POST only: e-mail scanners follow links automatically."""
    if request.method != "POST":
        return _message("Incident updates by e-mail", button="Confirm subscription")
    if subscribers.confirm(token, now=timezone.now()):
        return _message("Subscription confirmed", "You will receive an e-mail about each incident.")
    return _message(
        "Unknown link",
        "The link may have expired. Subscribe again on the status page.",
        status=404,
    )


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def leave(request: HttpRequest, token: str) -> HttpResponse:
    """Unsubscribe on POST only: e-mail scanners follow links automatically."""
    if request.method != "POST":
        return _message("Unsubscribe from incident updates?", button="Unsubscribe")
    subscribers.unsubscribe(token)
    return _message("Unsubscribed", "Your address has been deleted.")


def _message(title: str, text: str = "", *, status: int = 200, button: str = "") -> HttpResponse:
    context = {"title": title, "text": text, "button": button}
    return HttpResponse(render_to_string("health/status_message.html", context), status=status)
