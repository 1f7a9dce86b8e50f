"""Start and complete a sign-in through an identity provider."""

import requests
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.github.views import GitHubOAuth2Adapter
from allauth.socialaccount.providers.oauth2.views import (
    OAuth2Adapter,
    OAuth2CallbackView,
    OAuth2LoginView,
)
from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from core.accounts.models import IdentityProvider
from core.accounts.provider import VerifyingAdapter
from core.accounts.services import single_sign_on, single_sign_on_failures


@never_cache
@require_POST
def start(request: HttpRequest, slug: str) -> HttpResponse:
    """Send the browser to the provider. Only POST is accepted, so that no other site can start a sign-in.

    The response is a page that refreshes to the provider's URL, because the content security policy does not allow a
    form to lead to another site.
    """
    provider = next((one for one in single_sign_on.enabled_providers() if one.slug == slug), None)
    if provider is None:
        raise Http404("There is no such identity provider.")
    if provider.kind == IdentityProvider.Kind.SAML:
        response = _start_saml(request, slug)
    else:
        response = _answer(OAuth2LoginView, request, provider.kind, slug)
    location = response.headers.get("Location")
    if location is None:
        return response
    context = {**admin.site.each_context(request), "title": "Sign in", "provider": provider}
    return render(request, "access/continue.html", {**context, "location": location})


def _start_saml(request: HttpRequest, slug: str) -> HttpResponse:
    from core.accounts.services import saml  # noqa: PLC0415  its libraries take 11 MB

    try:
        provider = get_adapter().get_provider(request, slug)
        response: HttpResponse = provider.redirect_from_request(request)
    except saml.InvalidMetadata as error:
        single_sign_on_failures.record(request, f"{slug}: {error}")
        text = "The provider's metadata is not valid. Ask an owner to correct it, or sign in with a password."
        return single_sign_on_failures.refusal_page(request, text, 502)
    return response


@never_cache
@require_GET
def callback(request: HttpRequest, slug: str) -> HttpResponse:
    """Complete a sign-in with the parameters that an OpenID Connect provider sent through the browser."""
    return _answer(OAuth2CallbackView, request, IdentityProvider.Kind.OPENID_CONNECT, slug)


@never_cache
@require_GET
def github_callback(request: HttpRequest) -> HttpResponse:
    return _answer(OAuth2CallbackView, request, IdentityProvider.Kind.GITHUB, "")


def _answer(
    view: type[OAuth2LoginView | OAuth2CallbackView], request: HttpRequest, kind: str, slug: str
) -> HttpResponse:
    adapter: OAuth2Adapter = (
        GitHubOAuth2Adapter(request)
        if kind == IdentityProvider.Kind.GITHUB
        else VerifyingAdapter(request, slug)
    )
    try:
        response: HttpResponse = view.adapter_view(adapter)(request)
    except SocialApp.DoesNotExist:
        raise Http404("There is no such identity provider.") from None
    except (requests.RequestException, ValueError, KeyError) as error:
        # ValueError and KeyError mean that the provider's discovery document is invalid.
        single_sign_on_failures.record(request, f"{slug or kind}: {error}")
        text = "The identity provider cannot be reached. Try again, or sign in with a password."
        return single_sign_on_failures.refusal_page(request, text, 502)
    return response
