"""Rows for tests: plain typed functions, one a kind, every value visible where it matters."""

import itertools

from opsportal.clients.models import ClientApp

_numbers = itertools.count(1)


def make_app(slug: str = "", **fields: object) -> ClientApp:
    slug = slug or f"app-{next(_numbers)}"
    return ClientApp.objects.create(**{"name": slug.title(), "slug": slug, **fields})
