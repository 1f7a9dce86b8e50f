"""Subscribe to news about incidents and maintenance by e-mail or webhook, and end subscriptions.

These pages need no sign-in.
"""

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from core.lib import outbound, ratelimit
from core.lib.addresses import address_of, network_of
from health.services import subscribers

MAX_ADDRESS_LENGTH = 254
MAX_URL_LENGTH = 500
MAX_REQUESTS_PER_HOUR = 5  # Applies to each client network.


# The status page is cached and shared, so it cannot contain a CSRF token. No user is signed in here, so none is needed.
@csrf_exempt
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
    if not _may_subscribe(request):
        return _message("Too many requests", "Try again in an hour.", status=429)
    subscribers.subscribe(address, now=timezone.now())
    return _message(
        "Check your inbox",
        "If this address is not subscribed yet, you will receive an e-mail with a confirmation link.",
    )


@csrf_exempt
@require_POST
@never_cache
def subscribe_webhook(request: HttpRequest) -> HttpResponse:
    """Queue a call that sends a confirmation link to the URL, and show the secret that signs all calls."""
    url = request.POST.get("url", "").strip()
    try:
        if len(url) > MAX_URL_LENGTH:
            raise outbound.ForbiddenAddress("too long")
        outbound.check_public_url(url)
    except outbound.ForbiddenAddress as error:
        return _message(
            "This address cannot be called", f"{error}. Go back and correct it.", status=400
        )
    if not _may_subscribe(request):
        return _message("Too many requests", "Try again in an hour.", status=429)
    secret = subscribers.subscribe_webhook(url, now=timezone.now())
    return _message(
        "Confirm the webhook",
        "We will send a request to this URL within a minute. To start the subscription, open the confirm_url in its "
        "body. Store the secret below to verify our requests. It is shown only once.",
        code=secret,
    )


def _may_subscribe(request: HttpRequest) -> bool:
    """Count the request, and return True if the network of the client is within the limit."""
    key = f"status-subscribe:{network_of(address_of(request))}"
    return ratelimit.acquire(key, MAX_REQUESTS_PER_HOUR, 3600).allowed


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Show the confirmation page.

    Only a POST request confirms the subscription, because e-mail scanners follow links automatically.
    """
    if request.method != "POST":
        return _message(
            "Subscribe to updates about incidents and maintenance?", button="Confirm subscription"
        )
    if subscribers.confirm(token, now=timezone.now()):
        return _message(
            "Subscription confirmed",
            "You will receive all updates about incidents and maintenance.",
        )
    return _message(
        "Unknown link",
        "The link may have expired. Subscribe again on the status page.",
        status=404,
    )


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def leave(request: HttpRequest, token: str) -> HttpResponse:
    """Show the page to unsubscribe.

    Only a POST request unsubscribes, because e-mail scanners follow links automatically.
    """
    if request.method != "POST":
        return _message(
            "Unsubscribe from updates about incidents and maintenance?", button="Unsubscribe"
        )
    subscribers.unsubscribe(token)
    return _message("Unsubscribed", "Your address has been deleted.")


def _message(
    title: str, text: str = "", *, status: int = 200, button: str = "", code: str = ""
) -> HttpResponse:
    context = {"title": title, "text": text, "button": button, "code": code}
    return HttpResponse(render_to_string("health/status_message.html", context), status=status)
