"""E-mail a link for a password reset. The link works once and expires after a day."""

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.core.mail import send_mail
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

SENDER_TASK = "core.accounts.tasks.send_password_reset"


def send(user_id: int) -> str:
    """E-mail a reset link to the user, and return a summary for the task history.

    The worker creates the link here, so that the link is never stored in the queue.
    """
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or not user.email:
        return "no active user with an e-mail address"
    arguments = [
        urlsafe_base64_encode(force_bytes(user.pk)),
        default_token_generator.make_token(user),
    ]
    link = settings.BASE_URL + reverse("password_reset_confirm", args=arguments)
    text = render_to_string("access/password_reset.txt", {"user": user, "link": link})
    send_mail("Reset your opsportal password", text, None, [user.email])
    return "sent"
