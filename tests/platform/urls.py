"""Extend the portal's URLs with views that fail on purpose."""

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from django_ratelimit.core import is_ratelimited
from django_ratelimit.exceptions import Ratelimited

from core.clients.auth import authenticate
from core.clients.models import Scope
from core.lib import request_id
from core.lib.http import BadRequest
from opsportal import urls

handler400, handler403 = urls.handler400, urls.handler403
handler404, handler500 = urls.handler404, urls.handler500


def breaks(request: HttpRequest, how: str) -> HttpResponse:
    match how:
        case "bug":
            raise RuntimeError("for ada@example.com")
        case "database":
            raise OperationalError("gone")
        case "suspicious":
            raise SuspiciousOperation
        case "denied":
            raise PermissionDenied
        case "unreadable":
            raise BadRequest("the body is not JSON", 422)
        case "key":
            authenticate(request, Scope.METRICS)
        case "user":
            return HttpResponse(str(request.user))
        case "often":
            if is_ratelimited(request, group="often", key="ip", rate="1/m", increment=True):
                raise Ratelimited
    return HttpResponse(f"fine {request_id.current()}")


@csrf_exempt
@require_POST
def only_post(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.body)))


def form(request: HttpRequest) -> HttpResponse:
    return HttpResponse("sent")


urlpatterns = [
    path("breaks/<slug:how>", breaks),
    path("api/breaks/<slug:how>", breaks),
    path("only-post", only_post),
    path("api/only-post", only_post),
    path("form", form),
    *urls.urlpatterns,
]
