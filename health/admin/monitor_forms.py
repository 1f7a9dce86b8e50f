"""Define the forms of monitors and their steps, and validate their values."""

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError

from core.lib import outbound
from core.lib.outbound import guard
from health.checking.values import parse_extractions, variables_in
from health.models import Monitor, MonitorStep
from health.monitor_types import (
    TYPES,
    MonitorType,
    add_scheme,
    describe_problem,
    may_use_port,
    port_of,
    type_of,
)

MAX_STEPS = 10


def check_address(url: str) -> None:
    """Raise ValidationError for an address that a probe would reject."""
    if problem := describe_problem(url):
        raise ValidationError(problem)
    kind = type_of(url)
    try:
        if not may_use_port(kind, port_of(url), settings.DENIED_PORTS):
            guard.check_port(port_of(url))
        # The portal does not connect to the host in a DNS monitor's address, but only to a name server.
        if kind is not MonitorType.DNS:
            guard.check_host(urlsplit(url).hostname or "")
    except outbound.ForbiddenAddress as error:
        raise ValidationError(str(error)) from error


class MonitorForm(forms.ModelForm[Monitor]):
    """The form of a monitor of one type.

    The form never shows a stored password, and keeps the password if the input is empty.
    """

    monitor_type: MonitorType = MonitorType.HTTP

    class Meta:
        model = Monitor
        # ModelForm requires this attribute, but the admin's fieldsets define the fields.
        fields = ("url",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "url" in self.fields:  # The form has no inputs for users who may only view the monitor.
            self.fields["url"].widget.attrs["placeholder"] = TYPES[self.monitor_type].example
        if "password" in self.fields:
            attributes = {"autocomplete": "new-password", "size": 40}
            self.fields["password"].widget = forms.PasswordInput(attrs=attributes)
            if self.instance.password:
                hint = "A password is stored. Enter a new one to replace it."
                self.fields["password"].help_text = hint

    def clean_headers(self) -> dict[str, str]:
        """Return the headers, or an empty object if the field is empty."""
        return self.cleaned_data["headers"] or {}

    def clean_password(self) -> str:
        """Return the entered password, or the stored password if the input is empty.

        Raise ValidationError if a password is stored, the input is empty and the server has changed, because the portal
        would otherwise send the stored password to the new server.
        """
        entered: str = self.cleaned_data["password"]
        stored: str = self.initial.get("password") or ""
        given = add_scheme(str(self.data.get("url", "")), self.monitor_type)
        if entered or not stored or _server(given) == _server(self.initial.get("url") or ""):
            return entered or stored
        raise ValidationError("Enter the password again, because the address has changed.")

    def clean_url(self) -> str:
        url = add_scheme(self.cleaned_data["url"], self.monitor_type)
        if "://" in url and type_of(url) is not self.monitor_type and not describe_problem(url):
            info = TYPES[self.monitor_type]
            raise ValidationError(
                f"This form is for the type {info.label}. Enter an address such as {info.example}."
            )
        # The values of variables are known only when the request is sent, so the probe checks an address with
        # variables.
        if "{{" not in url:
            check_address(url)
        return url


def _server(url: str) -> tuple[str | None, int]:
    return urlsplit(url).hostname, port_of(url)


class StepForm(forms.ModelForm[MonitorStep]):
    class Meta:
        model = MonitorStep
        fields = ("name",)

    def clean_headers(self) -> dict[str, str]:
        return self.cleaned_data["headers"] or {}

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        if "{{" in url:
            return url
        if type_of(url) is not MonitorType.HTTP:
            raise ValidationError("Enter an address that starts with https:// or http://.")
        check_address(url)
        return url


class StepFormSet(forms.BaseInlineFormSet[MonitorStep, Monitor, StepForm]):
    def in_order(self) -> list[MonitorStep]:
        """Return the valid steps in the order in which they will be saved."""
        kept = [
            form.instance
            for form in self.forms
            if form.has_changed() or form.instance.pk
            if form not in self.deleted_forms and form.is_valid()
        ]
        return sorted(kept, key=lambda step: step.position)

    def clean(self) -> None:
        """Reject more than MAX_STEPS steps, and any request that uses a variable that no earlier step sets."""
        super().clean()
        known: set[str] = set()
        steps = self.in_order()
        if len(steps) > MAX_STEPS:
            raise ValidationError(f"A monitor has at most {MAX_STEPS} steps.")
        for step in steps:
            self._check_variables(step, known, f"The step {step.name}")
            known |= parse_extractions(step.extract).keys()
        self._check_variables(self.instance, known, "The request")

    def _check_variables(self, request: Monitor | MonitorStep, known: set[str], what: str) -> None:
        texts = [request.url, request.body, *request.headers.values()]
        if isinstance(request, Monitor):
            texts += [request.contains, request.json_value]
        if unknown := sorted(variables_in(texts) - known):
            raise ValidationError(f"{what} uses {unknown[0]}, which no earlier step sets.")


def formset_problems(formset: Any) -> list[str]:
    problems = [str(text) for text in formset.non_form_errors()]
    for number, form in enumerate(formset.forms, 1):
        for name, texts in form.errors.items():
            label = form.fields[name].label if name in form.fields else ""
            problems += [f"Step {number}, {label}: {text}" for text in texts]
    return problems
