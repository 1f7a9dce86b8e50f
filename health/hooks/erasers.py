"""Erase the subscriptions of a person to the status page."""

from datetime import datetime

from health.models import Subscriber
from impact.extension_points import Person, eraser


@eraser("subscribers")
def erase_subscriptions(person: Person, limit: int, now: datetime) -> int:
    """Delete the subscriptions of the person's e-mail address and the messages to it."""
    found = list(Subscriber.objects.filter(address_hash__in=person.addresses)[:limit])
    for subscriber in found:
        subscriber.delete()
    return len(found)
