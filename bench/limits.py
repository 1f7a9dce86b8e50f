"""Measure the cost of the rate limit: an empty view behind all middleware, with and without RateLimitMiddleware.

Limits are counted in memory. Both handlers run in one process in alternating batches of 200 calls. The comparison uses
the 10th percentile of CPU time per batch, which a busy machine hardly affects. The last column is the median of the
relative differences between the two batches of a pair. Access log lines are discarded.

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

from core.clients.auth import APP_IN_META  # noqa: E402
from core.clients.models import ClientApp  # noqa: E402
from core.lib import ratelimit  # noqa: E402
from core.limits import tiers  # noqa: E402

LIMITER = "opsportal.middleware.RateLimitMiddleware"
PAIRS, CALLS = 200, 200


APPS = {f"Bearer ops_{n:043}": ClientApp(name="Shop", slug=f"shop-{n}") for n in range(300)}


def empty(request: HttpRequest) -> HttpResponse:
    if key := request.META.get("HTTP_AUTHORIZATION"):
        # In the portal, views set the app after they have verified the key.
        request.META[APP_IN_META] = APPS[key]
    return HttpResponse(b"{}", content_type="application/json")


urlpatterns = [path("api/v1/empty/", empty)]
settings.ROOT_URLCONF = __name__


def handler(middleware: list[str]) -> WSGIHandler:
    settings.MIDDLEWARE = middleware
    return WSGIHandler()


Headers = Callable[[int], dict[str, str]]


def make_environ(number: int, headers: Headers) -> dict[str, Any]:
    """Return a WSGI environ like the one that the server creates for each request."""
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
    """Return the CPU seconds that `run` needs for these requests."""

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        assert status == "200 OK", status

    began = time.thread_time()
    for environ in environs:
        response = run(environ, start_response)
        b"".join(response)
        response.close()  # type: ignore[attr-defined]
    return time.thread_time() - began


def compare(title: str, headers: Headers) -> None:
    ratelimit.memory.clear()
    everything = list(settings.MIDDLEWARE)
    limited = handler(everything)
    unlimited = handler([name for name in everything if name != LIMITER])
    settings.MIDDLEWARE = everything
    sent = [0]

    def batch() -> list[dict[str, Any]]:
        sent[0] += CALLS
        return [make_environ(sent[0] + n, headers) for n in range(CALLS)]

    for warm_up in (limited, unlimited, limited, unlimited):
        cost(warm_up, batch())
    with_it, without = [], []
    gc.collect()
    gc.freeze()
    gc.disable()
    for pair in range(PAIRS):
        first, second = (limited, unlimited) if pair % 2 else (unlimited, limited)
        a, b = cost(first, batch()), cost(second, batch())
        with_it.append(a if first is limited else b)
        without.append(b if first is limited else a)
        if pair % 10 == 0:
            gc.collect()
    gc.enable()
    base, limited_cost = tenth_percentile(without), tenth_percentile(with_it)
    added = limited_cost - base
    median_added = statistics.median(a / b - 1 for a, b in zip(with_it, without, strict=True))
    print(
        f"| {title} | {base:.1f} | {limited_cost:.1f} | {added:.1f} | {100 * added / base:.1f} % | {100 * median_added:.1f} % |"
    )


def tenth_percentile(batches: list[float]) -> float:
    """Return the 10th percentile of µs per call, because other processes slow down the fastest batches least."""
    return statistics.quantiles(batches, n=10)[0] / CALLS * 1e6


def by_address(number: int) -> dict[str, str]:
    return {"REMOTE_ADDR": f"198.51.{number % 1000 // 250}.{number % 250}"}


def by_key(number: int) -> dict[str, str]:
    return {"REMOTE_ADDR": "198.51.100.7", "HTTP_AUTHORIZATION": list(APPS)[number % len(APPS)]}


def main() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # Access log lines go to stderr.
    # Set a high limit so that no call is refused, because a refusal costs less than a view.
    tiers.replace_limits(tiers.Limit(1_000, 60))
    print("| clients | µs without | µs with | µs added | added | median added |")
    print("|---|---|---|---|---|---|")
    compare("1,000 addresses", by_address)
    compare("300 apps with keys", by_key)


if __name__ == "__main__":
    main()
