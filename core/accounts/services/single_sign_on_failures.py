"""Record why people could not sign in through an identity provider, and show them a page without the reason."""

import logging

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from core.accounts.services import audit
from core.lib import ratelimit
from core.lib.addresses import address_of, network_of

log = logging.getLogger(__name__)

# The rate limit for the tier "auth" (core.limits.tiers) allows the same number of password attempts.
MAX_RECORDED_PER_MINUTE = 20


def record(request: HttpRequest, detail: str) -> None:
    """Record a failed sign-in in the audit log, at most MAX_RECORDED_PER_MINUTE times per minute and client address.

    Anyone can request the URLs to which providers redirect browsers, so a stranger could otherwise fill the audit log.
    """
    address = network_of(address_of(request))
    if ratelimit.acquire(f"single-sign-on:{address}", MAX_RECORDED_PER_MINUTE, 60).allowed:
        audit.record(None, "single sign-on failed", detail=detail[:500])
    else:
        log.warning("a failed sign-in is not in the audit log, because there were too many")


def failure_page(
    request: HttpRequest, provider: str, reason: str, is_cancelled: bool = False
) -> HttpResponse:
    """Record why a sign-in failed, and return the page for the person, without the reason."""
    record(request, f"{provider}: {reason}")
    text = f"{provider} did not confirm who you are. Try again."
    return refusal_page(request, "The sign-in was cancelled." if is_cancelled else text, 401)


def refusal_page(request: HttpRequest, text: str, status: int) -> HttpResponse:
    """Return the page that says why a person is not signed in."""
    context = {**admin.site.each_context(request), "title": "Sign in", "text": text}
    return render(request, "access/not_signed_in.html", context, status=status)
