"""Show the page on which users request a password reset."""

from django import forms
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.views import PasswordResetView
from django.http import HttpRequest, HttpResponse
from django.urls import reverse_lazy

from core.accounts.services import throttle
from core.accounts.services.password_reset import SENDER_TASK
from core.lib import queue


class QueuedForm(PasswordResetForm):
    """A form that queues an e-mail for each active user with the address. It hides whether there is such a user."""

    email = forms.EmailField(
        label="E-mail address",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "autofocus": True}),
    )

    def save(self, *args: object, **kwargs: object) -> None:
        for user in self.get_users(self.cleaned_data["email"]):
            queue.enqueue(SENDER_TASK, user_id=user.pk)


class PasswordReset(PasswordResetView):
    form_class = QueuedForm
    success_url = reverse_lazy("password_reset_done")

    def post(self, request: HttpRequest, *args: str, **kwargs: object) -> HttpResponse:
        throttle.count_reset_request(request, request.POST.get("email", ""))
        return super().post(request, *args, **kwargs)
