"""Define the admin of users, the sign-in policy, identity providers and the audit log, with one file per subject."""

from core.accounts.admin import audit_events, sign_in, users

__all__ = ["audit_events", "sign_in", "users"]
