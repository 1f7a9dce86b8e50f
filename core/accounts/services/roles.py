"""Define the three built-in groups, whose permissions the portal resets at each start. Owners may add more groups.

- Owner: has all permissions except those of internal apps, including those for users, keys, thresholds and routes.
- Staff: sees all operational data and works with it (acknowledge, dismiss, resolve, replay), but cannot change
  settings, keys or users.
- Read-only: sees all operational data and changes nothing.
"""

from enum import StrEnum
from fnmatch import fnmatchcase

from django.contrib.auth.models import Group, Permission
from django.db import transaction


class Role(StrEnum):
    """The names of the built-in groups."""

    OWNER = "Owner"
    STAFF = "Staff"
    READ_ONLY = "Read-only"


# No role has permissions for these apps, because users do not edit the rows of these apps by hand.
_INTERNAL_APPS = ("admin", "contenttypes", "sessions", "django_q", "otp_totp")
# Only owners have these permissions, which concern users, the audit log, e-mail addresses and channels with secrets.
_OWNERS_ONLY = (
    "auth.*",
    "access.*",
    "clients.*_personaltoken",
    "alerts.*_channel",
    "alerts.*_person",
    "alerts.*_notificationrule",
    "health.*_subscriber",
    "health.*_statusmail",
)
# Staff have these permissions beyond viewing, as fnmatch patterns of "app.permission".
STAFF_PERMISSIONS = (
    "alerts.change_systemalert",
    "alerts.change_notification",
    "alerts.*_silence",
    "errors.change_errorgroup",
    "health.*_incident",
    "health.*_incidenttemplate",
    "health.*_incidentupdate",
    "health.*_maintenancewindow",
    "payments.change_payment",
    "payments.change_webhookevent",
    "payments.change_mismatch",
    "reservations.add_reservation",
    "reservations.change_reservation",
    "impact.add_winbacklist",
    "impact.add_erasure",
    "jobs.run_job",
)


def _full_name(permission: Permission) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def permissions_of(role: Role) -> list[Permission]:
    """Return the permissions of a role, without those of Django's internal apps."""
    known = Permission.objects.select_related("content_type").exclude(
        content_type__app_label__in=_INTERNAL_APPS
    )
    return [one for one in known if may_role(role, _full_name(one))]


def may_role(role: Role, permission: str) -> bool:
    """Return True if the role has this permission, written as "app.permission".

    The permission must exist, and must not belong to an internal app.
    """
    if role is Role.OWNER:
        return True
    if _matches(permission, _OWNERS_ONLY):
        return False
    is_viewing = permission.partition(".")[2].startswith("view_")
    return is_viewing or (role is Role.STAFF and _matches(permission, STAFF_PERMISSIONS))


@transaction.atomic
def ensure_roles() -> None:
    """Create the groups where they are missing, and set their permissions."""
    for role in Role:
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.set(permissions_of(role))
