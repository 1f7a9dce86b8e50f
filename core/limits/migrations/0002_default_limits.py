from django.db import migrations

DEFAULTS = {"auth": 20, "payment": 20, "write": 600, "read": 200, "staff": 1_200}


def add_defaults(apps, schema_editor):
    RateLimitTier = apps.get_model("limits", "RateLimitTier")
    for tier, limit in DEFAULTS.items():
        RateLimitTier.objects.get_or_create(tier=tier, app=None, defaults={"limit": limit})


class Migration(migrations.Migration):
    dependencies = [("limits", "0001_initial")]
    operations = [migrations.RunPython(add_defaults, migrations.RunPython.noop)]
