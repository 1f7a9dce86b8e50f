"""Show the checklist of a new portal until all steps are done or the user dismisses it."""

from collections.abc import Set
from dataclasses import dataclass

from django.core.cache import cache
from django.urls import reverse

from core.lib.first_steps import DISMISSED_COOKIE, FirstStep, first_steps
from health.extension_points import Tab, WidgetContext, widget

# Completed steps are not checked again during this time, because a portal rarely loses one.
_DONE_KEY, _DONE_SECONDS = "first-steps-done", 600


@dataclass(frozen=True)
class StepLine:
    step: FirstStep
    is_done: bool
    may_do: bool


@widget(
    "health.first_steps",
    title="First steps",
    template="health/_widget_first_steps.html",
    refresh=10,  # The user should soon see that the first error has arrived.
    order=12,
    size="wide",
    tab=Tab.TOP,
    respects_apps=True,
)
def list_first_steps(context: WidgetContext) -> dict[str, object] | None:
    request = context.request
    if context.is_wall or DISMISSED_COOKIE in request.COOKIES:
        return None
    done = _find_done()
    lines = [
        StepLine(step, step.name in done, request.user.has_perm(step.permission))
        for step in sorted(first_steps, key=lambda step: step.order)
    ]
    open_lines = [line for line in lines if not line.is_done]
    if not any(line.may_do for line in open_lines):
        return None
    return {
        "lines": lines,
        "done_count": len(lines) - len(open_lines),
        "next": next(line for line in open_lines if line.may_do),
        "dismiss_url": reverse("health:dismiss-first-steps"),
    }


def _find_done() -> Set[str]:
    """Return the names of the completed steps."""
    known: frozenset[str] = cache.get(_DONE_KEY, frozenset())
    found = {step.name for step in first_steps if step.name not in known and step.is_done()}
    if found:
        cache.set(_DONE_KEY, known | found, _DONE_SECONDS)
    return known | found
