"""Provide the portal's middleware. The list has the order of settings.MIDDLEWARE, with the outermost class first:

1. RequestIdMiddleware sets the request id, which all log lines inside contain, and writes the access line.
2. SecurityHeadersMiddleware adds headers to every response, including those of other middleware.
3. RateLimitMiddleware rejects requests before the session and user are loaded.
4. ReadOnlyMiddleware refuses changes while the portal is read-only.
5. ErrorPagesMiddleware gives error responses without a body a page or problem document.
6. CompressionMiddleware compresses responses with gzip.
7. StatusDomainMiddleware serves only the status page on its own domain.
"""

from opsportal.middleware.compression import CompressionMiddleware
from opsportal.middleware.error_pages import ErrorPagesMiddleware
from opsportal.middleware.rate_limits import RateLimitMiddleware
from opsportal.middleware.read_only import ReadOnlyMiddleware
from opsportal.middleware.request_id import RequestIdMiddleware
from opsportal.middleware.security_headers import SecurityHeadersMiddleware
from opsportal.middleware.status_domain import StatusDomainMiddleware

__all__ = [
    "CompressionMiddleware",
    "ErrorPagesMiddleware",
    "RateLimitMiddleware",
    "ReadOnlyMiddleware",
    "RequestIdMiddleware",
    "SecurityHeadersMiddleware",
    "StatusDomainMiddleware",
]
