"""The three groups everybody can be put into. The portal sets their permissions at every start: for another mix, make a
group of your own.

- Owner: everything, also people, keys, thresholds and routes.
- Staff: sees all of the work and does it (acknowledge, dismiss, resolve, replay), but changes no settings, keys or people.
- Read-only: sees all of the work and changes nothing.
"""

from fnmatch import fnmatchcase

from django.contrib.auth.models import Group, Permission
from django.db import transaction

OWNER, STAFF, READ_ONLY = "Owner", "Staff", "Read-only"

# Apps whose rows nobody handles by hand.
_INTERNAL = ("admin", "contenttypes", "sessions", "django_q", "otp_totp")
# What only owners see: who is in and what they did, people's addresses, and channels with their secrets.
_OWNERS_ONLY = (
    "auth.*",
    "access.*",
    "alerts.*_channel",
    "alerts.*_person",
    "health.*_subscriber",
    "health.*_statusmail",
)
# What staff change, as "app.permission"; a * stands for any run of letters.
STAFF_MAY = (
    "alerts.change_systemalert",
    "alerts.change_notification",
    "alerts.*_silence",
    "errors.change_errorgroup",
    "health.*_incident",
    "health.*_incidentupdate",
    "health.*_maintenancewindow",
    "payments.change_payment",
    "payments.change_webhookevent",
    "payments.change_mismatch",
    "reservations.add_reservation",
    "reservations.change_reservation",
    "jobs.run_job",
)


def _named(permission: Permission) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def permissions_of(role: str) -> list[Permission]:
    """What a role may do, of the permissions there are now."""
    known = Permission.objects.select_related("content_type").exclude(
        content_type__app_label__in=_INTERNAL
    )
    if role == OWNER:
        return list(known)
    work = [permission for permission in known if not _matches(_named(permission), _OWNERS_ONLY)]
    seen = [permission for permission in work if permission.codename.startswith("view_")]
    if role == READ_ONLY:
        return seen
    return seen + [permission for permission in work if _matches(_named(permission), STAFF_MAY)]


@transaction.atomic
def ensure_roles() -> None:
    for role in (OWNER, STAFF, READ_ONLY):
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.set(permissions_of(role))
