"""Report the portal's own errors to Sentry, unless SENTRY_DSN is empty or points to this portal."""

import logging
from typing import Any
from urllib.parse import urlsplit

import sentry_sdk
from django.conf import settings
from sentry_sdk.integrations.django import DjangoIntegration

from core.lib import request_id
from core.lib.scrub import scrub

log = logging.getLogger(__name__)


def install() -> bool:
    """Start reporting errors and a sample of traces to SENTRY_DSN. Return False if reporting stays disabled."""
    if not settings.SENTRY_DSN:
        return False
    if (
        urlsplit(settings.SENTRY_DSN).netloc.rpartition("@")[2]
        == urlsplit(settings.BASE_URL).netloc
    ):
        log.warning(
            "SENTRY_DSN is ignored, because it points to this portal, which records its own errors"
        )
        return False
    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        release=f"opsportal@{settings.VERSION}",
        environment="development" if settings.DEBUG else "production",
        server_name=settings.INSTANCE,
        traces_sample_rate=settings.SENTRY_TRACES_SAMPLE_RATE,
        send_default_pii=False,
        max_request_body_size="never",
        before_send=_clean,
        before_send_transaction=_clean,
        integrations=[DjangoIntegration(middleware_spans=False, signals_spans=False)],
        shutdown_timeout=2,
    )
    # The global scope applies to every event of this process; each request has an isolation scope of its own.
    scope = sentry_sdk.get_global_scope()
    scope.set_tag("instance", settings.INSTANCE)
    if settings.REGION:
        scope.set_tag("region", settings.REGION)
    return True


def _clean(event: Any, hint: dict[str, Any]) -> Any:
    """Add the request id to an event and scrub it. If scrubbing fails, return None, so that the event is not sent."""
    if request_id.current():
        event.setdefault("tags", {})["request_id"] = request_id.current()
    try:
        return scrub(event)
    except Exception:
        log.warning("a Sentry event was not sent, because it could not be scrubbed", exc_info=True)
        return None
