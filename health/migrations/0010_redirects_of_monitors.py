from django.db import migrations, models

HELP_TEXT = "Follow up to 5 redirects and judge the last response. A redirect whose status is expected is not followed."


class Migration(migrations.Migration):
    """Keep treating a redirect as the response for existing monitors. New monitors follow redirects."""

    dependencies = [("health", "0009_heartbeats_without_app")]

    operations = [
        migrations.AddField(
            model_name="monitor",
            name="follow_redirects",
            field=models.BooleanField(default=False, help_text=HELP_TEXT),
        ),
        migrations.AlterField(
            model_name="monitor",
            name="follow_redirects",
            field=models.BooleanField(default=True, help_text=HELP_TEXT),
        ),
        migrations.AlterField(
            model_name="monitor",
            name="contains",
            field=models.CharField(
                blank=True,
                help_text="The first 4 MB of the response must contain this text. Leave empty to skip this check.",
                max_length=200,
                verbose_name="body contains",
            ),
        ),
    ]
