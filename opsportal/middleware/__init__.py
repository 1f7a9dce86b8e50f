"""Our middleware, in the order settings.MIDDLEWARE runs it (from the outside in):

1. RequestIdMiddleware: first, so that everything inside logs with the request's id; writes the access line.
2. SecurityHeadersMiddleware: on every answer, also those that later middleware gives.
3. ErrorPagesMiddleware: an answer without a body becomes a page or a problem; known refusals get their status.
Then Django's own.
"""

from opsportal.middleware.error_pages import ErrorPagesMiddleware
from opsportal.middleware.request_id import RequestIdMiddleware
from opsportal.middleware.security_headers import SecurityHeadersMiddleware

__all__ = ["ErrorPagesMiddleware", "RequestIdMiddleware", "SecurityHeadersMiddleware"]
