import django.db.models.deletion
from django.db import migrations, models

KINDS = [
    ("check", "Portal check"),
    ("monitor", "Monitor"),
    ("heartbeat", "Heartbeat"),
    ("certificate", "Certificate"),
]


def delete_the_check_of_all_certificates(apps, schema_editor):
    """Delete the check that each certificate's own component replaces."""
    apps.get_model("health", "Component").objects.filter(kind="check", name="certificates").delete()


class Migration(migrations.Migration):
    dependencies = [("health", "0010_redirects_of_monitors")]

    operations = [
        migrations.AlterField(
            model_name="component",
            name="kind",
            field=models.CharField(choices=KINDS, max_length=20),
        ),
        migrations.CreateModel(
            name="Certificate",
            fields=[
                (
                    "component_ptr",
                    models.OneToOneField(
                        auto_created=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        parent_link=True,
                        primary_key=True,
                        serialize=False,
                        to="health.component",
                    ),
                ),
                ("host", models.CharField(editable=False, max_length=255)),
                ("port", models.PositiveIntegerField(default=443, editable=False)),
                ("expires_at", models.DateTimeField(editable=False, null=True)),
                ("read_at", models.DateTimeField(editable=False, null=True)),
            ],
            bases=("health.component",),
        ),
        migrations.AddConstraint(
            model_name="certificate",
            constraint=models.UniqueConstraint(
                fields=("host", "port"), name="one_certificate_per_address"
            ),
        ),
        migrations.RemoveField(model_name="monitor", name="certificate_seen_at"),
        migrations.RemoveField(model_name="monitor", name="certificate_until"),
        migrations.RunPython(delete_the_check_of_all_certificates, migrations.RunPython.noop),
    ]
