"""Add the button "Send a test notification" to the pages of alert types and people, and show the outcome."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_GET, require_POST
from django_ratelimit.core import is_ratelimited

from alerts.models import ChannelTest
from alerts.queries.channels import describe_tests

MAX_TESTS_PER_MINUTE = 6  # The limit applies to each user across all pages.
TOO_MANY = f"The limit of {MAX_TESTS_PER_MINUTE} tests per minute was reached. Try again shortly."


def is_over_limit(request: HttpRequest) -> bool:
    """Count one test for the user, and return True if the user has exceeded MAX_TESTS_PER_MINUTE."""
    rate = f"{MAX_TESTS_PER_MINUTE}/m"
    return bool(
        is_ratelimited(request, group="alerts.test", key="user_or_ip", rate=rate, increment=True)
    )


class NotificationTests:
    """A mixin that adds a test button to a model admin. Subclasses implement `send_tests` and `why_untestable`."""

    change_form_template: Any = "admin/alerts/with_test.html"
    test_help = ""

    def send_tests(self, row: Any, user_id: int) -> list[ChannelTest]:
        raise NotImplementedError

    def why_untestable(self, row: Any) -> str:
        """Return the reason why `send_tests` sent no test for this row, as a sentence for staff."""
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view  # type: ignore[attr-defined]
        return [
            path("<int:pk>/test/", wrap(require_POST(self.test)), name=f"{self._url_prefix}_test"),
            path(
                "<int:pk>/tests/",
                wrap(require_GET(self.show_tests)),
                name=f"{self._url_prefix}_tests",
            ),
            *super().get_urls(),  # type: ignore[misc]
        ]

    @property
    def _url_prefix(self) -> str:
        opts = self.opts  # type: ignore[attr-defined]
        return f"{opts.app_label}_{opts.model_name}"

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> Any:
        row = kwargs.get("obj")
        if row is not None and self.has_change_permission(request, row):  # type: ignore[attr-defined]
            context |= {"test_help": self.test_help, **self._context(row, [])}
        return super().render_change_form(request, context, *args, **kwargs)  # type: ignore[misc]

    def test(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = get_object_or_404(self.get_queryset(request), pk=pk)  # type: ignore[attr-defined]
        if not self.has_change_permission(request, row):  # type: ignore[attr-defined]
            return HttpResponse(status=403)
        problems = []
        if is_over_limit(request):
            problems = [TOO_MANY]
        elif not self.send_tests(row, request.user.pk or 0):
            problems = [self.why_untestable(row)]
        if "HX-Request" in request.headers:
            return self._render(request, row, problems)
        for problem in problems:
            self.message_user(request, problem, messages.WARNING)  # type: ignore[attr-defined]
        return redirect(f"admin:{self._url_prefix}_change", row.pk)

    def show_tests(self, request: HttpRequest, pk: int) -> HttpResponse:
        row = get_object_or_404(self.get_queryset(request), pk=pk)  # type: ignore[attr-defined]
        if not self.has_change_permission(request, row):  # type: ignore[attr-defined]
            return HttpResponse(status=403)
        return self._render(request, row, [])

    def _render(self, request: HttpRequest, row: Any, problems: list[str]) -> HttpResponse:
        return render(request, "alerts/_notification_tests.html", self._context(row, problems))

    def _context(self, row: Any, problems: list[str]) -> dict[str, Any]:
        lines = [] if problems else describe_tests(row)
        return {
            "test_url": reverse(f"admin:{self._url_prefix}_test", args=[row.pk]),
            "tests_url": reverse(f"admin:{self._url_prefix}_tests", args=[row.pk]),
            "tests": lines,
            "is_test_waiting": any(line.is_waiting for line in lines),
            "problems": problems,
        }
