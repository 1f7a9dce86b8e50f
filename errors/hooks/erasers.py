"""Erase a person from stored errors."""

from datetime import datetime

from errors.services.erasure import erase_user
from impact.extension_points import Person, eraser


@eraser("errors")
def erase_from_errors(person: Person, limit: int, now: datetime) -> int:
    """Replace the person in at most `limit` records with a pseudonym, and return the number of these records.

    The person's feedback on the replaced events is deleted. Messages, references to orders, and counts are kept.
    """
    return erase_user(users=person.users, limit=limit)
