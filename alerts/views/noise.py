"""Show the noisiest rules with their suggested thresholds."""

from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from alerts.messages import format_value
from alerts.queries.noise import list_noisy_rules
from alerts.services import advice
from core.lib.admin import log_change

CHANGE = "alerts.change_alertrule"


@require_safe
@permission_required("alerts.view_alertrule", raise_exception=True)
def page(request: HttpRequest) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": "Noisy rules",
        "lead": "The rules that opened the most alerts in a week, and thresholds that would have opened fewer.",
        "rules": list_noisy_rules(),
        "may_change": request.user.has_perm(CHANGE),
    }
    return render(request, "alerts/noise.html", context)


@require_POST
@permission_required(CHANGE, raise_exception=True)
def search(request: HttpRequest) -> HttpResponse:
    """Search for noisy rules now instead of next Monday."""
    found = advice.find_noisy_rules(now=timezone.now())
    messages.success(request, f"{len(found)} noisy rule{'' if len(found) == 1 else 's'} found.")
    return redirect("alerts:noise")


@require_POST
@permission_required(CHANGE, raise_exception=True)
def use(request: HttpRequest, pk: int) -> HttpResponse:
    """Set the threshold of a rule to the suggested one."""
    try:
        rule = advice.use_suggestion(pk)
    except advice.NoSuggestion:
        messages.error(request, "The rule was changed in the meantime. Search again.")
    else:
        threshold = format_value(rule.threshold, rule.unit)
        log_change(request, rule, f"Changed threshold to {threshold}, as suggested.")
        messages.success(request, f"{rule.problem_name} now has the threshold {threshold}.")
    return redirect("alerts:noise")
