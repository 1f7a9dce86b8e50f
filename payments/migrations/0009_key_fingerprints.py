from django.db import migrations, models

from core.lib.fingerprints import keyed_fingerprint

SHA256_LENGTH = 64


def key_fingerprints(apps, schema_editor):
    """Key the hashes of requests with SECRET_KEY, because they cover personal data, and drop hashes without a key."""
    Payment = apps.get_model("payments", "Payment")
    Payment.objects.filter(key=None).update(fingerprint="")
    with_key = Payment.objects.exclude(key=None).only("fingerprint")
    for payment in with_key.iterator():
        if len(payment.fingerprint) == SHA256_LENGTH:
            payment.fingerprint = keyed_fingerprint(payment.fingerprint)
            payment.save(update_fields=["fingerprint"])


class Migration(migrations.Migration):
    dependencies = [("payments", "0008_record_provider_outages")]
    operations = [
        migrations.AlterField(
            model_name="payment",
            name="fingerprint",
            field=models.CharField(
                blank=True,
                help_text="Keyed hash of the request. It is removed together with the idempotency key.",
                max_length=64,
            ),
        ),
        migrations.RunPython(key_fingerprints, migrations.RunPython.noop, elidable=True),
    ]
