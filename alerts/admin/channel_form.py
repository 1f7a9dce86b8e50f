"""Define the form of a channel, with the settings of its kind, its recipients and its alert types."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError

from alerts.channels import TRANSPORTS, get_config
from alerts.channels.base import DeliveryFailed, Field
from alerts.extension_points import Severity
from alerts.models import AlertType, Channel
from core.lib import outbound
from core.lib.forms import Checkboxes

# Messages of these kinds interrupt people, so a new channel gets only critical alert types by default.
INTERRUPTING_KINDS = ("sms", "voice", "pagerduty")


def form_field_name(field_name: str) -> str:
    return f"setting_{field_name}"


class ChannelForm(forms.ModelForm[Channel]):
    """The base class of the channel forms. A form never shows a saved secret; an empty input keeps the secret."""

    kind: ClassVar[str]  # Set by `build_form`.

    routed_types = forms.ModelMultipleChoiceField(
        AlertType.objects.order_by("name"),
        label="Alert types",
        required=False,
        widget=Checkboxes,
        help_text="Select the types of alerts that this channel gets.",
    )

    class Meta:
        model = Channel
        fields = ("name",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["routed_types"] = list(self.instance.alert_types.all())
        else:
            is_interrupting = self.kind in INTERRUPTING_KINDS
            self.initial.setdefault("gets_every_type", not is_interrupting)
            if is_interrupting:
                self.initial["routed_types"] = list(
                    AlertType.objects.filter(severity=Severity.CRITICAL)
                )

    def list_changed_settings(self) -> dict[str, str]:
        """Return the settings in the form that differ from the saved ones. An empty secret counts as unchanged."""
        changed = {}
        for field in _shown_fields(self.kind):
            value = str(self.cleaned_data.get(form_field_name(field.name)) or "").strip()
            if value == str(self.instance.config.get(field.name) or "") or (
                field.is_secret and not value
            ):
                continue
            changed[field.name] = value
        return changed

    def list_recipients(self) -> list[str]:
        """Return the addresses that a test of this form is sent to, or [] if the kind of channel has no recipients."""
        transport = TRANSPORTS[self.kind]
        if not transport.contact_field:
            return []
        people = {
            *self.cleaned_data.get("people", ()),
            *(p for team in self.cleaned_data.get("teams", ()) for p in team.people.all()),
        }
        own = [getattr(p, transport.contact_field) for p in people if p.is_active]
        return sorted({*transport.recipients(get_config(self.build_draft())), *filter(None, own)})

    def build_draft(self) -> Channel:
        """Return an unsaved channel with the form's name, kind and connection settings."""
        return Channel(
            pk=self.instance.pk,
            name=self.cleaned_data.get("name") or self.instance.name,
            kind=self.kind,
            config={**self.instance.config, **self.list_changed_settings()},
            uses_environment=self.cleaned_data.get("uses_environment", False),
        )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if any(self.errors):
            return cleaned
        config = get_config(self.build_draft())
        for field in _shown_fields(self.kind):
            if not config[field.name] and field.is_required and cleaned.get("is_enabled", True):
                self.add_error(form_field_name(field.name), "This field is required.")
        for name, value in self.list_changed_settings().items():
            self._check_address(name, value)
        if (
            TRANSPORTS[self.kind].contact_field
            and cleaned.get("is_enabled", True)
            and (cleaned.get("gets_every_type") or cleaned.get("routed_types"))
            and not self.list_recipients()
        ):
            self.add_error(None, "Enter recipients, or choose people or teams.")
        return cleaned

    def _check_address(self, name: str, value: str) -> None:
        """Add an error to the form if deliveries to the URL in `value` would be refused, or if it cannot be checked.

        URLs from the portal's settings are trusted.
        """
        field = next(field for field in TRANSPORTS[self.kind].fields if field.name == name)
        is_trusted = bool(field.setting) and value == getattr(settings, field.setting, "")
        if not field.is_url or not value or is_trusted:
            return
        try:
            (field.check or outbound.check_public_url)(value)
        except (outbound.ForbiddenAddress, DeliveryFailed) as error:
            self.add_error(form_field_name(name), ValidationError(str(error)))

    def save(self, commit: bool = True) -> Channel:
        self.instance.kind = self.kind
        self.instance.config = {**self.instance.config, **self.list_changed_settings()}
        return super().save(commit)


def _shown_fields(kind: str) -> list[Field]:
    return [field for field in TRANSPORTS[kind].fields if field.is_shown]


def build_form(channel: Channel) -> type[ChannelForm]:
    """Return a form class for the kind of `channel`, which may be unsaved."""
    config = get_config(channel)
    fields: dict[str, Any] = {}
    for field in _shown_fields(channel.kind):
        own = str(channel.config.get(field.name) or "")
        hint = field.help
        if not own and config[field.name] and channel.uses_environment and field.setting:
            shown = "set" if field.is_secret else config[field.name]
            hint = f"{hint} From the setting {field.setting}: {shown}.".strip()
        if field.is_secret and own:
            hint = f"{hint} A value is stored. Enter a new one to replace it.".strip()
        if field.is_flag:
            fields[form_field_name(field.name)] = forms.BooleanField(
                label=field.label, required=False, initial=bool(own), help_text=hint
            )
            continue
        fields[form_field_name(field.name)] = forms.CharField(
            label=field.label,
            required=False,
            initial="" if field.is_secret else own,
            help_text=hint,
            widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "size": 60})
            if field.is_secret
            else forms.TextInput(attrs={"size": 60}),
        )
    return type("KindForm", (ChannelForm,), {**fields, "kind": channel.kind})


def describe_kinds() -> list[Mapping[str, str]]:
    """Return the kinds of channels with the labels of their settings, for the page that adds a channel."""
    return [
        {
            "kind": transport.kind,
            "label": transport.label,
            "needs": ", ".join(
                field.label for field in _shown_fields(transport.kind) if field.is_required
            ),
        }
        for transport in TRANSPORTS.values()
    ]
