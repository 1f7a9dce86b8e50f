from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.crypto import get_random_string

from core.accounts.services import audit, two_factor
from core.clients.models import PersonalToken

# No two characters look alike, so that a user can copy a password from the terminal without mistakes.
CLEAR_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


class Command(BaseCommand):
    help = (
        "Restore a user's access: print a one-time password, turn off two-factor sign-in, and end all sessions and API "
        "tokens."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument(
            "--keep-password", action="store_true", help="do not change the password"
        )
        parser.add_argument(
            "--keep-second-factor", action="store_true", help="do not turn off two-factor sign-in"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            known = ", ".join(User.objects.filter(is_staff=True).values_list("username", flat=True))
            raise CommandError(
                f"there is no user {options['username']!r}; members of staff: {known or 'none'}"
            )
        if not options["keep_second_factor"] and two_factor.remove(user):
            self.stdout.write("Two-factor sign-in is turned off.")
        if not options["keep_password"]:
            password = get_random_string(16, CLEAR_LETTERS)
            user.set_password(password)
            user.is_active = True
            user.save(update_fields=["password", "is_active"])
            self.stdout.write(f"New password of {user.username}: {password}")
            tokens = PersonalToken.objects.live().filter(user=user)
            if count := tokens.update(revoked_at=timezone.now()):
                self.stdout.write(f"Revoked {count} API token{'' if count == 1 else 's'}.")
        audit.record(user, "sign-in reset on the command line")
