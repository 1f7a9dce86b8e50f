"""Decide who may sign in through an identity provider, as which user and with which roles.

A person is recognized by the subject, the provider's permanent id. At the first sign-in, an existing user with the same
verified e-mail address is linked; otherwise a user is created if the provider adds new people.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import requests
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import get_random_string

from core.accounts.models import AccessPolicy, IdentityProvider
from core.accounts.services import audit, throttle, two_factor
from core.accounts.services import single_sign_on_failures as failures
from core.lib.outbound.exceptions import ForbiddenAddress
from core.lib.outbound.guard import check_public_url

NEEDED = ("issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
# Names of the attributes that contain a person's data. Each list begins with the name in SAML's own profile, followed
# by Microsoft's name, if there is one, and by plain names.
SAML_ATTRIBUTES = {
    "uid": ["urn:oasis:names:tc:SAML:attribute:subject-id"],
    "email": [
        "urn:oid:0.9.2342.19200300.100.1.3",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
        "email",
        "mail",
    ],
    "first_name": [
        "urn:oid:2.5.4.42",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname",
        "firstName",
        "givenName",
    ],
    "last_name": [
        "urn:oid:2.5.4.4",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname",
        "lastName",
        "sn",
    ],
}
FROM_ENVIRONMENT = "environment"  # The slug of the provider that the settings SSO_… describe.


def provider_from_settings() -> IdentityProvider | None:
    """Return the provider that the settings SSO_… configure, or None if they are empty. It has no database row."""
    is_saml = bool(settings.SSO_SAML_METADATA)
    if not is_saml and not (settings.SSO_ISSUER and settings.SSO_CLIENT_ID):
        return None
    kinds = IdentityProvider.Kind
    return IdentityProvider(
        name=settings.SSO_NAME,
        slug=FROM_ENVIRONMENT,
        kind=kinds.SAML if is_saml else kinds.OPENID_CONNECT,
        metadata=settings.SSO_SAML_METADATA,
        issuer=settings.SSO_ISSUER,
        client_id=settings.SSO_CLIENT_ID,
        client_secret=settings.SSO_CLIENT_SECRET,
        email_domains=" ".join(settings.SSO_EMAIL_DOMAINS),
        groups_claim=settings.SSO_GROUPS_CLAIM,
        role_mapping="\n".join(f"{group} = {role}" for group, role in settings.SSO_ROLES.items()),
        default_role=Group.objects.filter(name=settings.SSO_DEFAULT_ROLE).first(),
    )


def enabled_providers() -> list[IdentityProvider]:
    """Return the providers on the sign-in page, beginning with the one from the environment."""
    configured = provider_from_settings()
    rows = IdentityProvider.objects.filter(is_enabled=True).select_related("default_role")
    return [*([configured] if configured else []), *rows.order_by("name", "pk")]


def find_problem(issuer: str) -> str:
    """Fetch the provider's OpenID Connect discovery document. Return a problem with it, or "" if there is none."""
    url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        with _GuardedSession() as session:
            response = session.get(url)
        response.raise_for_status()
        found = response.json()
        missing = [name for name in NEEDED if not found.get(name)]
    except (requests.RequestException, ValueError, AttributeError) as error:
        return f"{url} could not be read: {error}"
    if missing:
        return f"{url} lacks {', '.join(missing)}."
    if found["issuer"].rstrip("/") != issuer.rstrip("/"):
        return f"The provider states the issuer {found['issuer']}. Enter this URL as the issuer."
    return ""


def fetch_metadata(url: str) -> str:
    """Return the document at the URL. Raises requests.RequestException unless the status is 200."""
    with _GuardedSession() as session:
        response = session.get(url)
    response.raise_for_status()
    if response.status_code != 200:
        raise requests.RequestException(f"it answers with status {response.status_code}")
    return response.text


def may_use_password(user: User) -> bool:
    """Return False if the policy requires this user to sign in through an identity provider.

    The policy has no effect while no provider is enabled, because no one could sign in.
    """
    policy = AccessPolicy.current()
    if not policy.require_single_sign_on or not enabled_providers():
        return True
    return policy.password_users.filter(pk=user.pk).exists()


@dataclass(frozen=True)
class Identity:
    """The provider's claims about the person who signs in."""

    emails: frozenset[str]  # Only verified addresses, in lower case.
    groups: frozenset[str] = frozenset()
    claims: dict[str, Any] = field(default_factory=dict, compare=False)


class NotAllowed(Exception):
    """The person is not allowed to sign in. The message states the reason and is shown to the person."""


def check_domain(provider: IdentityProvider, identity: Identity) -> None:
    """Raise NotAllowed unless one of the person's verified addresses belongs to an allowed domain.

    Do nothing if the provider allows all domains.
    """
    domains = provider.domains
    if domains and not any(email.rpartition("@")[2] in domains for email in identity.emails):
        raise NotAllowed(
            f"{provider.name} sent no verified e-mail address at {' or '.join(domains)}. Sign in with an "
            "account that has one."
        )


def roles_for(provider: IdentityProvider, groups: frozenset[str]) -> list[Group] | None:
    """Return the roles of a person in these groups, or None if the provider does not set roles.

    Raises NotAllowed if the person has none of the groups and there is no default role.
    """
    mapping = provider.roles_by_group
    if not mapping:
        return None
    names = {role for group, role in mapping.items() if group in groups}
    found = list(Group.objects.filter(name__in=names))
    if not found and provider.default_role is not None:
        found = [provider.default_role]
    if not found:
        raise NotAllowed(
            f"None of your groups at {provider.name} has a role in this portal. Ask an owner for "
            "access."
        )
    return found


def find_user(identity: Identity) -> User | None:
    """Return the user with one of the person's verified addresses, or None if there is no such user.

    Raises NotAllowed if there are several users, or if the user is disabled.
    """
    found = {
        user.pk: user
        for email in identity.emails
        for user in User.objects.filter(email__iexact=email)
    }
    if len(found) > 1:
        raise NotAllowed(
            "Several users have your e-mail address. Ask an owner to give each user a different one."
        )
    user = next(iter(found.values()), None)
    if user is not None and not user.is_active:
        raise NotAllowed("Your account in this portal is disabled. Ask an owner to enable it.")
    return user


def set_roles(user: User, roles: list[Group] | None) -> None:
    """Replace the user's roles, and record a change in the audit log. Do nothing if `roles` is None."""
    if roles is None:
        return
    before = set(user.groups.values_list("name", flat=True))
    after = {role.name for role in roles}
    if before != after:
        user.groups.set(roles)
        audit.record(user, "roles set by single sign-on", detail=", ".join(sorted(after)))


def free_username(wanted: str) -> str:
    """Return the name with only the allowed characters, and with a number if it is taken."""
    base = (
        re.sub(r"[^\w.@+-]", "-", wanted)[:140].strip("-") or f"user-{get_random_string(6).lower()}"
    )
    taken = {
        name.casefold()
        for name in User.objects.filter(username__istartswith=base).values_list(
            "username", flat=True
        )
    }
    number, name = 1, base
    while name.casefold() in taken:
        number += 1
        name = f"{base}-{number}"
    return name


class _GuardedSession(requests.Session):
    """A session that sends requests with a time limit, without redirects, and only to allowed addresses."""

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        try:
            check_public_url(str(url))
        except ForbiddenAddress as error:
            raise requests.RequestException(str(error)) from error
        kwargs.setdefault("timeout", settings.SOCIALACCOUNT_REQUESTS_TIMEOUT)
        kwargs["allow_redirects"] = False
        return super().request(method, url, *args, **kwargs)


class ProviderAdapter(DefaultSocialAccountAdapter):
    """The adapter through which django-allauth uses the portal's providers, users and roles."""

    def get_requests_session(self) -> requests.Session:
        return _GuardedSession()

    def list_apps(
        self, request: HttpRequest, provider: str | None = None, client_id: str | None = None
    ) -> list[SocialApp]:
        return [
            SocialApp(
                provider=one.kind,
                provider_id="" if one.kind == IdentityProvider.Kind.GITHUB else one.slug,
                name=one.name,
                client_id=one.client_id,
                secret=one.client_secret,
                settings=_settings_of(one),
            )
            for one in enabled_providers()
            if provider in (None, one.kind, one.slug) and client_id in (None, one.client_id)
        ]

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Refuse the person, or find their user and set the user's roles. allauth calls this before a sign-in."""
        provider = _provider_of(sociallogin)
        identity = _identity_of(provider, sociallogin)
        try:
            check_domain(provider, identity)
            roles = roles_for(provider, identity.groups)
            if not sociallogin.is_existing:
                self._link_user(request, provider, identity, sociallogin)
            if sociallogin.is_existing:
                self._check_existing(sociallogin)
                set_roles(sociallogin.user, roles)
            elif roles is None and provider.default_role is None:
                raise NotAllowed("New people have no role in this portal. Ask an owner to add you.")
        except NotAllowed as refusal:
            audit.record(sociallogin.user, "single sign-on refused", detail=str(refusal))
            raise ImmediateHttpResponse(failures.refusal_page(request, str(refusal), 403)) from None
        sociallogin.state["replaces_second_factor"] = provider.replaces_second_factor

    def _link_user(
        self,
        request: HttpRequest,
        provider: IdentityProvider,
        identity: Identity,
        login: SocialLogin,
    ) -> None:
        user = find_user(identity)
        if user is not None:
            if not user.is_staff:
                raise NotAllowed(
                    "Your account is not allowed to use this portal. Ask an owner for access."
                )
            login.connect(request, user)
            audit.record(user, "linked to an identity provider", detail=provider.name)
        elif not provider.creates_users:
            raise NotAllowed(
                "No user of this portal has your e-mail address. Ask an owner to add you."
            )
        elif not identity.emails:
            raise NotAllowed(
                f"{provider.name} sent no verified e-mail address. Verify it there, then sign in again."
            )

    def _check_existing(self, login: SocialLogin) -> None:
        login.user.refresh_from_db()
        if not (login.user.is_active and login.user.is_staff):
            raise NotAllowed("Your account in this portal is disabled. Ask an owner to enable it.")

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True  # pre_social_login() has already refused people who may not sign up.

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        """Create the user of a person who signs in for the first time."""
        provider = _provider_of(sociallogin)
        identity = _identity_of(provider, sociallogin)
        roles = roles_for(provider, identity.groups) or [
            role for role in (provider.default_role,) if role is not None
        ]
        user = User(
            username=free_username(_wanted_name(identity)),
            email=min(identity.emails),
            first_name=sociallogin.user.first_name[:150],
            last_name=sociallogin.user.last_name[:150],
            is_staff=True,
        )
        user.set_unusable_password()
        user.save()
        sociallogin.user = user
        sociallogin.account.user = user
        sociallogin.account.extra_data = {}
        sociallogin.account.save()
        audit.record(user, "added by single sign-on", detail=provider.name)
        set_roles(user, roles)
        return user

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """Send no e-mail, because the audit log records changes to accounts."""

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: Any = None,
    ) -> None:
        """Answer a failed or cancelled sign-in with a page, and record why it failed."""
        is_cancelled = error == "cancelled"
        page = failures.failure_page(
            request, provider.app.name, str(exception or error), is_cancelled
        )
        raise ImmediateHttpResponse(page)


class AccountAdapter(DefaultAccountAdapter):
    """The adapter that completes a provider's sign-in in the same way as the portal's own sign-in."""

    def add_message(self, *args: Any, **kwargs: Any) -> None:
        """Suppress allauth's messages, such as "Successfully signed in"."""

    def post_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **kwargs)
        login = (kwargs.get("signal_kwargs") or {}).get("sociallogin")
        if login is not None and login.state.get("replaces_second_factor"):
            request.session[two_factor.REPLACED] = True
        throttle.remember_browser(request, response, user)
        return response


def _settings_of(provider: IdentityProvider) -> dict[str, Any]:
    if provider.kind != IdentityProvider.Kind.SAML:
        return {"server_url": provider.issuer.rstrip("/"), "slug": provider.slug}
    return {
        "slug": provider.slug,
        "metadata": provider.metadata,
        "attribute_mapping": SAML_ATTRIBUTES,
        # A SAML response does not say whether an e-mail address is verified. Addresses in the company's own domains
        # count as verified, because the company itself assigns them.
        "verified_email": provider.domains,
    }


def _provider_of(login: SocialLogin) -> IdentityProvider:
    slug = login.provider.app.settings["slug"]
    return next(one for one in enabled_providers() if one.slug == slug)


def _identity_of(provider: IdentityProvider, login: SocialLogin) -> Identity:
    claims = getattr(login, "claims", {})
    groups = claims.get(provider.groups_claim) if provider.groups_claim else None
    names = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    return Identity(
        emails=frozenset(one.email.lower() for one in login.email_addresses if one.verified),
        groups=frozenset(str(name) for name in names),
        claims=claims,
    )


def _wanted_name(identity: Identity) -> str:
    name = identity.claims.get("preferred_username")
    return str(name) if name else min(identity.emails).partition("@")[0]
