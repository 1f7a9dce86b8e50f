from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("health", "0011_certificates")]

    operations = [
        migrations.AddField(
            model_name="component",
            name="group",
            field=models.CharField(
                blank=True,
                help_text="Components with the same group are shown together, collapsed while all of them work",
                max_length=100,
                verbose_name="group on the status page",
            ),
        ),
    ]
