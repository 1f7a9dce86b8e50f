from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand
from django.db import models

from core.lib.sealed_fields import SealedJSONField, SealedTextField


def sealed_fields() -> dict[type[models.Model], list[str]]:
    """Return the names of the fields whose content is encrypted, by model."""
    found = {
        model: [
            field.name
            for field in model._meta.concrete_fields
            if isinstance(field, SealedJSONField | SealedTextField)
        ]
        for model in apps.get_models()
    }
    return {model: names for model, names in found.items() if names}


class Command(BaseCommand):
    help = "After a change of SECRET_KEY, encrypt the stored secrets again with the current key."

    def handle(self, *args: Any, **options: Any) -> None:
        for model, names in sealed_fields().items():
            count = 0
            for row in model._default_manager.order_by("pk").iterator():
                row.save(update_fields=names)
                count += 1
            self.stdout.write(f"{model._meta.verbose_name_plural}: {count}")
