"""Define the hooks of `core.clients`, to which other apps contribute in `<app>/hooks/<kind>.py`.

| kind | decorator | signature of the function |
| --- | --- | --- |
| app_sections | `@app_section("health.heartbeats", title=…, icon=…, template=…)` | `(app, now) -> context or None` |

docs/howto/app-section.md describes how to add a section.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.clients.models import ClientApp
from core.lib.registry import Registry

AppSectionFunction = Callable[[ClientApp, datetime], dict[str, Any] | None]


@dataclass(frozen=True)
class AppSection:
    """A section of an app's page. The function returns the template's context, or None to hide the section."""

    title: str
    icon: str
    template: str
    order: int
    load: AppSectionFunction


app_sections: Registry[AppSection] = Registry("app_sections")


def app_section(
    name: str, *, title: str, icon: str, template: str, order: int = 500
) -> Callable[[AppSectionFunction], AppSectionFunction]:
    """Register a section of an app's page: a function that takes the app and the current time.

    Example::

        @app_section("shop.visits", title="Visits", icon="user", template="shop/_app_visits.html")
        def visits(app: ClientApp, now: datetime) -> dict[str, Any] | None:
            return {"count": queries.count_visits(app, now)}
    """
    return app_sections.decorator(
        name, lambda function: AppSection(title, icon, template, order, function)
    )
