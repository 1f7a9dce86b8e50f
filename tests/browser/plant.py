"""Create rows of many kinds, and put an XSS payload into most text columns that may contain input from outside.

`python -m tests.browser.plant` must run in a portal's environment. The portal's pages must show the payload as text.
"""

import os
from datetime import timedelta

import django

PAYLOAD = (
    """"><b data-planted>'><b data-planted></script></textarea></title><b data-planted>"""
    """<img src=x onerror="window.planted=1"><script>window.planted=2</script>"""
    """{{ 7|add:1 }}${window.planted=3}"""
)
LINK = "javascript:window.planted=4//https://x.example"

# Only the portal itself writes these columns, for example with identifiers, digests and dotted paths.
KEPT = {
    "cron", "key_hash", "prefix", "public_key", "token", "secret", "public_id", "timezone", "currency",
    "fingerprint", "owner", "func", "hook", "password", "session_key", "app_label", "model", "codename",
    "group_hash", "key", "kind",
}  # fmt: skip


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "opsportal.settings")
    django.setup()
    make_rows()
    plant()


def make_rows() -> None:
    from django.utils import timezone

    from alerts.extension_points import Severity
    from core.limits.models import BlockedCall
    from tests import factories

    now = timezone.now()
    app = factories.make_app("planted")
    factories.make_payment(app=app)
    factories.make_payment(app=app, status="requires_payment_method")
    factories.make_ticket_type(event=factories.make_event())
    factories.make_component()
    factories.make_monitor("https://x.example/")
    for severity in Severity:
        factories.make_alert(
            severity=severity,
            title=PAYLOAD[:150],
            message=PAYLOAD,
            source=PAYLOAD[:60],
            metadata={PAYLOAD: [PAYLOAD, {PAYLOAD: PAYLOAD}], "url": LINK},
        )
    BlockedCall.objects.create(
        minute=now - timedelta(minutes=1), tier="read", subject="app:x", path="/", count=3
    )


def plant() -> None:
    """Put the payload or, for URLs, LINK into the text columns of most apps, cut to the column's length.

    Columns in KEPT and columns with slugs, choices or unique values are left out.
    """
    from django.apps import apps
    from django.db import models, transaction

    for model in apps.get_models():
        if not model.__module__.startswith(
            ("errors", "alerts", "health", "payments", "reservations", "opsportal", "django_q")
        ):
            continue
        constrained = {
            name
            for constraint in model._meta.constraints
            if isinstance(constraint, models.UniqueConstraint)
            for name in constraint.fields
        }
        for field in model._meta.concrete_fields:
            is_text = isinstance(field, models.CharField | models.TextField)
            if not is_text or isinstance(field, models.SlugField | models.UUIDField):
                continue
            if field.unique or field.choices or field.name in KEPT or field.name in constrained:
                continue
            value = LINK if "url" in field.name else PAYLOAD
            try:
                with transaction.atomic():
                    model._default_manager.update(**{field.name: value[: field.max_length or None]})
            except Exception as error:  # A check constraint limits the values of this column.
                print(f"kept {model.__name__}.{field.name}: {error}")


if __name__ == "__main__":
    main()
