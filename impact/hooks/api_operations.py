"""Describe the impact API in OpenAPI."""

from core.lib.openapi import describe
from impact.views.api import ImpactShown

describe(
    "impact:api",
    "GET",
    "Return the cost of a problem: orders, amounts and seats by state, and a separate estimate. Also return the changes"
    " before the problem began, with the most likely cause first.",
    scope="admin",
    answers={200: ImpactShown},
    path_notes={
        "kind": "`group` for an error group, `alert` or `incident`.",
        "id": "The problem's id.",
    },
    refusals={404: "There is no such problem."},
)
