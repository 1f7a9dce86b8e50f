"""Describe the search in OpenAPI."""

from core.lib.openapi import describe
from opsportal.search import SearchResults

describe(
    "search:api",
    "GET",
    "Search apps, errors, alerts, payments, reservations and settings, with the permissions of the role Read-only.",
    scope="admin",
    query={
        "q": "The text to find: words, or a whole id such as an order number, of at most 200 characters."
    },
    answers={200: SearchResults},
    refusals={400: "`q` has more than 200 characters."},
)
