from django.db import migrations

from core.lib.customers import keyed_reference

HASH_LENGTH = len("email:") + 64


def key_customer_hashes(apps, schema_editor):
    """Replace the hashes of e-mail addresses by hashes keyed with SECRET_KEY, as in the payments app."""
    Reservation = apps.get_model("reservations", "Reservation")
    for reservation in Reservation.objects.filter(customer__startswith="email:").iterator():
        if len(reservation.customer) == HASH_LENGTH:
            digest = reservation.customer.removeprefix("email:")
            reservation.customer = keyed_reference(digest)
            reservation.save(update_fields=["customer"])


class Migration(migrations.Migration):
    dependencies = [("reservations", "0002_release_sold_tickets")]
    operations = [
        migrations.RunPython(key_customer_hashes, migrations.RunPython.noop, elidable=True)
    ]
