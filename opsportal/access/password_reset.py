"""Password reset: a page requests it, a worker e-mails the link, and the link works once within a day."""

from django.conf import settings
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.contrib.auth.views import PasswordResetView
from django.core.mail import send_mail
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse, reverse_lazy
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from opsportal.access import throttle
from opsportal.lib import queue

SENDER_TASK = "opsportal.access.tasks.send_password_reset"


class QueuedForm(PasswordResetForm):
    """A form that queues an e-mail for each active user with this address and never shows whether there is one."""

    def save(self, *args: object, **kwargs: object) -> None:
        for user in self.get_users(self.cleaned_data["email"]):
            queue.enqueue(SENDER_TASK, user_id=user.pk)


class PasswordReset(PasswordResetView):
    form_class = QueuedForm
    success_url = reverse_lazy("password_reset_done")

    def post(self, request: HttpRequest, *args: str, **kwargs: object) -> HttpResponse:
        throttle.count_reset_request(request, request.POST.get("email", ""))
        return super().post(request, *args, **kwargs)


def send(user_id: int) -> str:
    """E-mail a reset link and return the task's result. The link is created here, so that no queue contains it."""
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
