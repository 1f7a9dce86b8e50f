from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware

from core.lib.http import accepts_gzip


class CompressionMiddleware(GZipMiddleware):
    """Django's compression, which is skipped for clients that refuse gzip by `gzip;q=0`."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        if not accepts_gzip(request.headers.get("Accept-Encoding", "")):
            return response
        compressed: HttpResponseBase = super().process_response(request, response)
        return compressed
