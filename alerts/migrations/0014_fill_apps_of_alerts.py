"""Set the app of the existing alerts whose labels or metadata name an app."""

from typing import Any

from django.db import migrations


def fill(apps: Any, schema_editor: Any) -> None:
    SystemAlert = apps.get_model("alerts", "SystemAlert")
    ClientApp = apps.get_model("clients", "ClientApp")
    by_name: dict[object, int] = {}
    for pk, name, slug in ClientApp.objects.order_by("-pk").values_list("pk", "name", "slug"):
        by_name |= {name: pk, slug: pk}
    found: dict[int, list[int]] = {}
    named = SystemAlert.objects.values_list("pk", "labels", "metadata")
    for pk, labels, metadata in named.iterator():
        names = [one.get("app") for one in (labels, metadata) if isinstance(one, dict)]
        ids = {by_name[name] for name in names if isinstance(name, str) and name in by_name}
        if ids:
            found.setdefault(min(ids), []).append(pk)
    for app_id, pks in found.items():
        for start in range(0, len(pks), 500):
            SystemAlert.objects.filter(pk__in=pks[start : start + 500]).update(app_id=app_id)


class Migration(migrations.Migration):

    dependencies = [
        ("alerts", "0013_apps_of_teams_and_alerts"),
        ("clients", "0006_permissions_by_app"),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
