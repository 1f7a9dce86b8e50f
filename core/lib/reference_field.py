"""Define a model field for a unique name that the API and configuration files use to refer to a row."""

import uuid
from typing import Any

from django.db import models
from django.utils.text import slugify

MAX_LENGTH = 100


def new_reference(text: str) -> str:
    """Return a unique name that starts with the words in a string, such as `ann-lee-3f9a21`."""
    words = slugify(text)[: MAX_LENGTH - 10].strip("-_")
    return "-".join(filter(None, [words, uuid.uuid4().hex[:6]]))


class ReferenceField(models.SlugField):  # type: ignore[type-arg]  # not generic at runtime
    """A slug that is derived from the field `source` when a row is saved without one.

    The slug is NULL only in rows that an older version of the portal created; `fill_references` sets it.
    """

    def __init__(self, *, source: str, **options: Any) -> None:
        self.source = source
        given = {"max_length": MAX_LENGTH, "unique": True, "null": True, "editable": False}
        super().__init__(**{**given, **options})

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "source": self.source}

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = getattr(model_instance, self.attname)
        if not value:
            value = new_reference(str(getattr(model_instance, self.source)))
            setattr(model_instance, self.attname, value)
        return value


def fill_references(model: type[models.Model]) -> None:
    """Set the reference of rows that have none. Keep a reference that another process sets at the same time."""
    for field in model._meta.get_fields():
        if isinstance(field, ReferenceField):
            unnamed = model._default_manager.filter(**{field.name: None})
            for row in unnamed:
                reference = new_reference(str(getattr(row, field.source)))
                model._default_manager.filter(pk=row.pk, **{field.name: None}).update(
                    **{field.name: reference}
                )
