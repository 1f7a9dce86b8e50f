from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def count_as_measured(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Count all existing calls as measured, because the number of extrapolated calls is unknown."""
    apps.get_model("health", "Latency").objects.update(measured=models.F("count"))


class Migration(migrations.Migration):
    dependencies = [("health", "0013_seal_secrets")]

    operations = [
        migrations.AddField(
            model_name="latency",
            name="measured",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.RunPython(count_as_measured, migrations.RunPython.noop),
    ]
