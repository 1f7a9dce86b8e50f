"""Our middleware, in the order settings.MIDDLEWARE runs it (from the outside in):

1. RequestIdMiddleware: first, so that everything inside logs with the request's id; writes the access line.
2. SecurityHeadersMiddleware: on every answer, also those that later middleware gives.
3. RateLimitMiddleware: refuses before any work is done (django's session and user are not loaded yet).
4. ErrorPagesMiddleware: an answer without a body becomes a page or a problem; known refusals get their status.
Then Django's own.
"""

from opsportal.middleware.error_pages import ErrorPagesMiddleware
from opsportal.middleware.rate_limits import RateLimitMiddleware
from opsportal.middleware.request_id import RequestIdMiddleware
from opsportal.middleware.security_headers import SecurityHeadersMiddleware

__all__ = [
    "ErrorPagesMiddleware",
    "RateLimitMiddleware",
    "RequestIdMiddleware",
    "SecurityHeadersMiddleware",
]
