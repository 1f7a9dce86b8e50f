"""What the rate limit costs: an empty view through the portal's middleware, with and without RateLimitMiddleware, in memory.

Both handlers live in one process and take turns, 200 calls each; what is compared is the CPU time of the quickest tenth of
the turns, so that a busy machine moves it little, and beside it the median of what each pair of turns differs by. Access
lines are written, to /dev/null.

    python -m bench.limits
"""

import gc
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
os.environ.setdefault("DATA_DIR", tempfile.mkdtemp())
os.environ.pop("REDIS_URL", None)

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402

from opsportal.clients.auth import APP_IN_META  # noqa: E402
from opsportal.clients.models import ClientApp  # noqa: E402
from opsportal.lib import ratelimit  # noqa: E402
from opsportal.limits import tiers  # noqa: E402

LIMITER = "opsportal.middleware.RateLimitMiddleware"
PAIRS, CALLS = 200, 200


APPS = {f"Bearer ops_{n:043}": ClientApp(name="Shop", slug=f"shop-{n}") for n in range(300)}


def empty(request: HttpRequest) -> HttpResponse:
    if key := request.META.get("HTTP_AUTHORIZATION"):
        request.META[APP_IN_META] = APPS[key]  # as a view does that has verified it
    return HttpResponse(b"{}", content_type="application/json")


urlpatterns = [path("api/v1/empty/", empty)]
settings.ROOT_URLCONF = __name__


def handler(middleware: list[str]) -> WSGIHandler:
    settings.MIDDLEWARE = middleware
    return WSGIHandler()


Headers = Callable[[int], dict[str, str]]


def environ(number: int, headers: Headers) -> dict[str, Any]:
    """As the server makes one for each request."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/api/v1/empty/",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_ACCEPT": "*/*",
        "HTTP_USER_AGENT": "bench",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        **headers(number),
    }


def cost(run: Callable[..., Iterable[bytes]], environs: list[dict[str, Any]]) -> float:
    """CPU seconds for these requests."""

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        assert status == "200 OK", status

    began = time.thread_time()
    for one in environs:
        answer = run(one, start_response)
        b"".join(answer)
        answer.close()  # type: ignore[attr-defined]
    return time.thread_time() - began


def compare(title: str, headers: Headers) -> None:
    ratelimit.memory.clear()
    everything = list(settings.MIDDLEWARE)
    limited = handler(everything)
    free = handler([name for name in everything if name != LIMITER])
    settings.MIDDLEWARE = everything
    made = [0]

    def batch() -> list[dict[str, Any]]:
        made[0] += CALLS
        return [environ(made[0] + n, headers) for n in range(CALLS)]

    for warm in (limited, free, limited, free):
        cost(warm, batch())
    with_it, without = [], []
    gc.collect()
    gc.freeze()
    gc.disable()
    for pair in range(PAIRS):
        first, second = (limited, free) if pair % 2 else (free, limited)
        a, b = cost(first, batch()), cost(second, batch())
        with_it.append(a if first is limited else b)
        without.append(b if first is limited else a)
        if pair % 10 == 0:
            gc.collect()
    gc.enable()
    base, limited_cost = undisturbed(without), undisturbed(with_it)
    more = limited_cost - base
    typical = statistics.median(a / b - 1 for a, b in zip(with_it, without, strict=True))
    print(
        f"| {title} | {base:.1f} | {limited_cost:.1f} | {more:.1f} | {100 * more / base:.1f} % | {100 * typical:.1f} % |"
    )


def undisturbed(batches: list[float]) -> float:
    """µs a call in the quickest tenth of the batches: what it costs while no neighbor empties the processor's caches."""
    return statistics.quantiles(batches, n=10)[0] / CALLS * 1e6


def by_address(number: int) -> dict[str, str]:
    return {"REMOTE_ADDR": f"198.51.{number % 1000 // 250}.{number % 250}"}


def by_key(number: int) -> dict[str, str]:
    return {"REMOTE_ADDR": "198.51.100.7", "HTTP_AUTHORIZATION": list(APPS)[number % len(APPS)]}


def main() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where the access lines go
    # The window as it is, and so many calls allowed that none is refused: a refusal costs less than a view.
    tiers._limits = {place: tiers.Limit(1_000, 60) for place in tiers._limits}
    print("| callers | µs without | µs with | µs more | share | median share |")
    print("|---|---|---|---|---|---|")
    compare("1,000 addresses", by_address)
    compare("300 apps by their keys", by_key)


if __name__ == "__main__":
    main()
