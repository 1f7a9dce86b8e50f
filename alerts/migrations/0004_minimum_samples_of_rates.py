from django.db import migrations

# Each entry contains the name of the rule, the former default of min_samples, and the new default.
CHANGED = (("errors.rate", 20, 100), ("delivery.sms_failure_rate", 0, 20))


def update_unchanged_rules(apps, schema_editor):
    """Set `min_samples` to its new default in the rules that still have the former default."""
    rules = apps.get_model("alerts", "AlertRule").objects
    for name, before, after in CHANGED:
        rules.filter(name=name, min_samples=before).update(min_samples=after)


class Migration(migrations.Migration):
    dependencies = [("alerts", "0003_say_it_in_words")]

    operations = [migrations.RunPython(update_unchanged_rules, migrations.RunPython.noop)]
