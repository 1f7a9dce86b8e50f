"""Define the admin of the sign-in policy and of identity providers."""

from collections.abc import Sequence
from typing import Any, ClassVar

import requests
from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from core.accounts.models import AccessPolicy, IdentityProvider
from core.accounts.services import single_sign_on, two_factor
from core.lib.admin import PortalAdmin, Section


class AccessPolicyForm(forms.ModelForm[AccessPolicy]):
    request: HttpRequest

    class Meta:
        model = AccessPolicy
        fields = ("require_second_factor", "require_single_sign_on", "password_users")

    def clean_require_second_factor(self) -> bool:
        is_required = bool(self.cleaned_data["require_second_factor"])
        if is_required and not two_factor.is_enabled(self.request.user):
            raise ValidationError(
                "Set up two-factor sign-in for your own account first. Otherwise, you would lock yourself out."
            )
        return is_required

    def clean(self) -> dict[str, Any]:
        """Refuse a policy that would lock everyone out while the identity provider is unavailable."""
        cleaned = super().clean() or {}
        if not cleaned.get("require_single_sign_on"):
            return cleaned
        if not single_sign_on.enabled_providers():
            self.add_error("require_single_sign_on", "Add and enable an identity provider first.")
        owners = [
            user
            for user in cleaned.get("password_users") or ()
            if user.is_active
            and user.has_usable_password()
            and user.has_perm("access.change_accesspolicy")
        ]
        if not owners:
            self.add_error(
                "password_users",
                "Choose at least one owner with a password, who can sign in while the provider is unavailable.",
            )
        return cleaned


@admin.register(AccessPolicy)
class AccessPolicyAdmin(PortalAdmin):
    section = Section.PEOPLE
    setting_purpose = "Require two-factor sign-in or single sign-on for all users."
    offers_add = False
    is_single = True
    form = AccessPolicyForm

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return type("Form", (super().get_form(request, *args, **kwargs),), {"request": request})

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not AccessPolicy.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Open the form of the policy instead of a list, because there is at most one policy."""
        policy = AccessPolicy.objects.first()
        if policy is not None:
            return redirect("admin:access_accesspolicy_change", policy.pk)
        if self.has_add_permission(request):
            return redirect("admin:access_accesspolicy_add")
        return super().changelist_view(request, extra_context)

    def save_model(self, request: HttpRequest, obj: AccessPolicy, form: Any, change: bool) -> None:
        obj.pk = 1
        super().save_model(request, obj, form, change)


class IdentityProviderForm(forms.ModelForm[IdentityProvider]):
    issuer = forms.CharField(
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"size": 60, "inputmode": "url"}),
        help_text="For OpenID Connect, enter the URL before /.well-known/openid-configuration, for example "
        "https://accounts.google.com.",
    )
    client_secret = forms.CharField(
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "size": 60}),
        help_text="The secret is stored encrypted and never shown. Leave this field empty to keep the stored secret.",
    )
    metadata = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "cols": 80, "spellcheck": "false"}),
        help_text="For SAML, enter the provider's metadata (XML) or the URL of the metadata. The portal reads the URL "
        "once, when you save. The metadata contains the issuer, the URL of the sign-in page and the certificates.",
    )

    class Meta:
        model = IdentityProvider
        fields = (
            "name", "slug", "kind", "is_enabled", "issuer", "client_id", "client_secret", "metadata", "email_domains",
            "creates_users", "groups_claim", "role_mapping", "default_role", "replaces_second_factor",
        )  # fmt: skip

    def clean_client_secret(self) -> str:
        return str(self.cleaned_data["client_secret"] or self.instance.client_secret)

    def clean_issuer(self) -> str:
        issuer = str(self.cleaned_data["issuer"]).strip()
        return issuer.removesuffix("/.well-known/openid-configuration").rstrip("/")

    def clean_metadata(self) -> str:
        """Return the SAML metadata document. If the user entered a URL, fetch the document from there first."""
        text = str(self.cleaned_data["metadata"]).strip()
        if not text.startswith(("https://", "http://")):
            return text
        try:
            return single_sign_on.fetch_metadata(text).strip()
        except requests.RequestException as error:
            raise ValidationError(f"{text} could not be read: {error}") from None

    def clean_role_mapping(self) -> str:
        text = str(self.cleaned_data["role_mapping"]).strip()
        known = set(Group.objects.values_list("name", flat=True))
        for line in filter(None, (line.strip() for line in text.splitlines())):
            group, is_pair, role = (part.strip() for part in line.rpartition("="))
            if not (group and is_pair and role):
                raise ValidationError(f"Write each line as group = role, not as {line!r}.")
            if role not in known:
                raise ValidationError(
                    f"There is no role {role!r}. Roles: {', '.join(sorted(known))}."
                )
        return text

    def clean(self) -> dict[str, Any]:
        """Require the fields of this kind of provider, and check that an OpenID Connect provider can be used."""
        cleaned = super().clean() or {}
        kind = cleaned.get("kind")
        if kind == IdentityProvider.Kind.SAML:
            self._clean_saml(cleaned)
        elif kind and not cleaned.get("client_id"):
            self.add_error("client_id", "Enter the client ID of this portal at the provider.")
        if kind == IdentityProvider.Kind.OPENID_CONNECT:
            self._clean_openid_connect(cleaned)
        if (
            not cleaned.get("role_mapping")
            and not cleaned.get("default_role")
            and cleaned.get("creates_users")
        ):
            self.add_error(
                "default_role", "New people need a role: choose one, or map groups to roles."
            )
        return cleaned

    def _clean_openid_connect(self, cleaned: dict[str, Any]) -> None:
        issuer = cleaned.get("issuer")
        if "issuer" in self.errors:
            return
        if not issuer:
            self.add_error("issuer", "An OpenID Connect provider needs its issuer URL.")
        elif cleaned.get("is_enabled") and (problem := single_sign_on.find_problem(issuer)):
            self.add_error("issuer", problem)

    def _clean_saml(self, cleaned: dict[str, Any]) -> None:
        """Check the SAML metadata, and set the issuer to its entity id."""
        from core.accounts.services import saml  # noqa: PLC0415  its libraries take 11 MB

        if "metadata" not in self.errors:
            try:
                cleaned["issuer"] = saml.read_metadata(cleaned.get("metadata", ""))["entityId"]
            except saml.InvalidMetadata as error:
                self.add_error("metadata", str(error))
        if not str(cleaned.get("email_domains", "")).strip():
            self.add_error(
                "email_domains",
                "Enter the e-mail domains of your company. SAML does not say whether an address is verified, so "
                "the portal accepts only addresses in these domains.",
            )


@admin.register(IdentityProvider)
class IdentityProviderAdmin(PortalAdmin):
    section = Section.PEOPLE
    setting_purpose = "Sign in with Entra, Google, GitHub, GitLab, Keycloak or another OpenID Connect or SAML provider."
    form = IdentityProviderForm
    list_display = ("name", "kind", "issuer", "is_enabled")
    prepopulated_fields: ClassVar[dict[str, Sequence[str]]] = {"slug": ("name",)}
    readonly_fields = ("callback_url",)
    fieldsets = (
        (None, {"fields": ("name", "slug", "kind", "is_enabled")}),
        (
            "Connection",
            {"fields": ("issuer", "client_id", "client_secret", "metadata", "callback_url")},
        ),
        ("Sign-in and new people", {"fields": ("email_domains", "creates_users")}),
        ("Roles", {"fields": ("groups_claim", "role_mapping", "default_role")}),
        ("Two-factor sign-in", {"fields": ("replaces_second_factor",)}),
    )

    @admin.display(description="callback URL")
    def callback_url(self, provider: IdentityProvider) -> str:
        if not provider.slug:
            return "Save the provider to see this address."
        match provider.kind:
            case IdentityProvider.Kind.GITHUB:
                path = reverse("github_callback")
            case IdentityProvider.Kind.SAML:
                path = reverse("access:saml-acs", args=[provider.slug])
                described_at = reverse("access:saml-metadata", args=[provider.slug])
                own = provider.client_id or f"{settings.BASE_URL}{described_at}"
                return f"{settings.BASE_URL}{path} (entity ID: {own})"
            case _:
                path = reverse("openid_connect_callback", args=[provider.slug])
        return f"{settings.BASE_URL}{path}"
