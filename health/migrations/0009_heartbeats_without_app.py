import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clients", "0001_initial"),
        ("health", "0008_series_by_environment"),
    ]

    operations = [
        migrations.AlterField(
            model_name="heartbeat",
            name="app",
            field=models.ForeignKey(
                blank=True,
                help_text="The app that this job belongs to. Leave empty for a job of the whole company.",
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="heartbeats",
                to="clients.clientapp",
            ),
        ),
        migrations.AlterField(
            model_name="heartbeat",
            name="slug",
            field=models.SlugField(blank=True, help_text="Leave empty to derive the slug from the title."),
        ),
        migrations.AddConstraint(
            model_name="heartbeat",
            constraint=models.UniqueConstraint(
                condition=models.Q(("app", None)),
                fields=("slug", "environment"),
                name="one_heartbeat_per_job_without_app",
                violation_error_message="Another heartbeat without an app has this slug and environment.",
            ),
        ),
    ]
