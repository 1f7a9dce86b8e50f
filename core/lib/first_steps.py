"""Define the checklist of a new portal, to which each app adds steps by a hook.

    @first_step(
        "health.monitor", title="Add a monitor", text="The portal then checks a URL every minute.",
        action="Add a monitor", url_name="admin:health_monitor_add", permission="health.add_monitor", order=30,
    )
    def has_monitor() -> bool:
        return Monitor.objects.exists()

The function queries the data, so a step counts as done no matter on which page, or by which API, the user took it. The
system-health page shows the list until all steps are done or the user hides it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.urls import reverse

from core.lib.registry import Registry

# The browser gets this cookie when its user hides the checklist.
DISMISSED_COOKIE = "first-steps-dismissed"


@dataclass(frozen=True)
class FirstStep:
    name: str
    title: str
    text: str  # One or two sentences with the reason for the step and its effect.
    action: str  # The label of the link to the form.
    url_name: str
    permission: str  # The permission that the form requires.
    order: int
    is_done: Callable[[], bool]

    @property
    def url(self) -> str:
        return reverse(self.url_name)


first_steps: Registry[FirstStep] = Registry("first_steps")


def first_step(
    name: str, *, title: str, text: str, action: str, url_name: str, permission: str, order: int
) -> Callable[[Callable[[], bool]], Callable[[], bool]]:
    """Register a function that returns True when the step is done.

    The function runs each time the list is shown until it returns True, and again at most every ten minutes.
    """
    return first_steps.decorator(
        name,
        lambda is_done: FirstStep(name, title, text, action, url_name, permission, order, is_done),
    )
