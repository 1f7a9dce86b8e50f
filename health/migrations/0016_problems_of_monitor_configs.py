from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [('health', '0015_output_of_runs')]

    operations = [
        migrations.AddField(
            model_name="heartbeat",
            name="config_problem",
            field=models.CharField(blank=True, editable=False, max_length=300),
        ),
    ]
