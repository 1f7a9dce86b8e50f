"""Summarize the cost of a problem for pages, messages and the API, with exact figures and a separate estimate."""

from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse

from impact.extension_points import Description
from impact.queries.estimates import Estimate, estimate
from impact.queries.figures import Figures, figures_of
from impact.services.catch_up import catch_up


@dataclass(frozen=True)
class Summary:
    figures: Figures
    estimate: Estimate | None = None
    url: str = ""  # The URL of the page that lists the orders.
    is_complete: bool = True  # False if committed changes are still missing from the figures.

    def __bool__(self) -> bool:
        return bool(self.figures or self.estimate)

    @property
    def sentence(self) -> str:
        """Return the exact figures as one line, or "" if no order is known to be affected."""
        return self.figures.sentence()

    @property
    def estimate_sentence(self) -> str:
        return self.estimate.sentence() if self.estimate else ""


def summarize(
    kind: str,
    id: int,
    description: Description,
    *,
    now: datetime,
    is_estimated: bool = False,
    is_caught_up: bool = False,
) -> Summary:
    """Return the figures of the described problem. If their `is_complete` is True, they include all committed changes.

    `is_caught_up` means that a call of `catch_up` by the caller has just succeeded.
    """
    is_complete = is_caught_up or catch_up()
    since, until = description.since, description.until
    return Summary(
        figures=figures_of(description.problems, now=now, since=since, until=until),
        estimate=estimate(since, until or now) if is_estimated and since else None,
        url=reverse("impact:orders", args=[kind, id]),
        is_complete=is_complete,
    )
