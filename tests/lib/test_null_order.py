"""Test that default orderings state where rows without a value go: SQLite puts them first, PostgreSQL last."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.db.models import Field, Model
from django.db.models.constants import LOOKUP_SEP
from django.test import Client

from core.limits.models import RateLimitTier, Tier
from tests.factories import make_app


def default_orderings() -> Iterator[tuple[str, type[Model], Sequence[Any]]]:
    """Yield the name, model and ordering of each of the portal's models, admin lists and inlines."""
    for model in apps.get_models():
        if (settings.BASE_DIR / model.__module__.partition(".")[0]).is_dir():
            yield model._meta.label, model, model._meta.ordering or ()
    for model, model_admin in admin.site._registry.items():
        yield type(model_admin).__name__, model, model_admin.ordering or ()
        for inline in model_admin.inlines:
            yield inline.__name__, inline.model, inline.ordering or ()


def can_be_null(model: type[Model], path: str) -> bool:
    for name in path.split(LOOKUP_SEP):
        field: Any = model._meta.pk if name == "pk" else model._meta.get_field(name)
        if isinstance(field, Field) and field.null:
            return True
        model = field.related_model
    return False


def test_default_orderings_state_where_rows_without_a_value_go() -> None:
    unclear = [
        f"{name}: {term}"
        for name, model, ordering in default_orderings()
        for term in ordering
        if isinstance(term, str) and can_be_null(model, term.lstrip("-"))
    ]

    assert unclear == []


@pytest.mark.django_db
def test_the_default_limit_of_a_tier_comes_before_the_limits_of_apps(admin_client: Client) -> None:
    for slug in ("b", "a"):
        RateLimitTier.objects.create(tier=Tier.READ, app=make_app(slug), limit=9)

    listed = admin_client.get("/admin/limits/ratelimittier/?tier__exact=read").context["cl"]

    assert [limit.app and limit.app.slug for limit in listed.result_list] == [None, "a", "b"]
