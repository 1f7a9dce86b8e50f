"""Erase a person from the subscribers of the status page."""

from datetime import datetime

from health.models import Subscriber
from impact.extension_points import Person, eraser


@eraser("subscribers")
def erase_subscriptions(person: Person, limit: int, now: datetime) -> int:
    """Delete the subscriptions of the person's e-mail address, with the messages that were sent to it."""
    found = list(Subscriber.objects.filter(address_hash__in=person.addresses)[:limit])
    for subscriber in found:
        subscriber.delete()
    return len(found)
