from datetime import timedelta

from django.db import migrations, models
from django.utils import timezone

from core.lib.fingerprints import keyed_fingerprint

SHA256_LENGTH = 64
REPEATED_WITHIN = timedelta(days=7)


def key_fingerprints(apps, schema_editor):
    """Key the hashes of requests with SECRET_KEY, because they cover personal data, and drop hashes of old requests."""
    Reservation = apps.get_model("reservations", "Reservation")
    recent = timezone.now() - REPEATED_WITHIN
    Reservation.objects.filter(created_at__lt=recent).update(fingerprint="")
    for reservation in Reservation.objects.exclude(fingerprint="").only("fingerprint").iterator():
        if len(reservation.fingerprint) == SHA256_LENGTH:
            reservation.fingerprint = keyed_fingerprint(reservation.fingerprint)
            reservation.save(update_fields=["fingerprint"])


class Migration(migrations.Migration):
    dependencies = [("reservations", "0008_waiting_list")]
    operations = [
        migrations.AlterField(
            model_name="reservation",
            name="fingerprint",
            field=models.CharField(
                blank=True,
                help_text="Keyed hash of the request that created the reservation.",
                max_length=64,
            ),
        ),
        migrations.AlterField(
            model_name="waitingentry",
            name="customer",
            field=models.CharField(
                blank=True, help_text="This field is empty if the customer was erased.", max_length=200
            ),
        ),
        migrations.AddIndex(
            model_name="waitingentry",
            index=models.Index(
                condition=models.Q(("customer", ""), _negated=True),
                fields=["customer"],
                name="waiting_by_customer",
            ),
        ),
        migrations.RunPython(key_fingerprints, migrations.RunPython.noop, elidable=True),
    ]
