"""Check the ID token in an OpenID Connect sign-in, and read the person's attributes from a checked SAML response.

allauth finds this module by its name. By default, allauth trusts an ID token that it fetched itself over TLS, as the
specification allows. The portal also accepts issuers in the internal network without TLS, so it always verifies the
signature:
https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation
"""

from typing import Any

import jwt
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from allauth.socialaccount.providers.saml.provider import SAMLProvider
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")  # fmt: skip
CLOCK_LEEWAY_SECONDS = 30


class VerifyingAdapter(OpenIDConnectOAuth2Adapter):
    """An adapter that completes a sign-in only if the provider has signed the ID token for this portal."""

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        """Return the callback URL that is registered at the provider."""
        return f"{settings.BASE_URL}{reverse('openid_connect_callback', args=[self.provider_id])}"

    def complete_login(
        self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any
    ) -> SocialLogin:
        claims = self._verify(app, kwargs["response"].get("id_token") or "")
        login: SocialLogin = super().complete_login(request, app, token, **kwargs)
        # If the subjects differ, the userinfo belongs to another person.
        if login.account.uid != str(claims["sub"]):
            raise OAuth2Error("the subjects of the ID token and of the userinfo differ")
        return login

    def _verify(self, app: SocialApp, id_token: str) -> dict[str, Any]:
        try:
            with get_adapter().get_requests_session() as session:
                response = session.get(self.openid_config["jwks_uri"])
                response.raise_for_status()
            wanted = jwt.get_unverified_header(id_token).get("kid")
            keys = jwt.PyJWKSet.from_dict(response.json()).keys
            key = next(one for one in keys if wanted is None or one.key_id == wanted)
            claims: dict[str, Any] = jwt.decode(
                id_token,
                key.key,
                algorithms=list(ALGORITHMS),
                audience=app.client_id,
                issuer=self.openid_config["issuer"],
                leeway=CLOCK_LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, StopIteration, KeyError, ValueError, TypeError) as error:
            raise OAuth2Error(
                f"the ID token is not valid: {error or type(error).__name__}"
            ) from error
        return claims


class PortalOpenIDConnectProvider(OpenIDConnectProvider):
    """A provider whose claims are used during the sign-in but not stored with the person's account."""

    oauth2_adapter_class = VerifyingAdapter

    def sociallogin_from_response(
        self, request: HttpRequest, response: dict[str, Any]
    ) -> SocialLogin:
        login: SocialLogin = super().sociallogin_from_response(request, response)
        login.claims = {**(response.get("id_token") or {}), **(response.get("userinfo") or {})}
        return login

    def extract_extra_data(self, data: dict[str, Any]) -> dict[str, Any]:
        return {}


class PortalSAMLProvider(SAMLProvider):
    """A SAML provider whose attributes are used during the sign-in but not stored with the person's account."""

    def redirect(
        self,
        request: HttpRequest,
        process: str,
        next_url: str | None = None,
        data: Any = None,
        **kwargs: Any,
    ) -> HttpResponse:
        from core.accounts.services import saml  # noqa: PLC0415  its libraries take 11 MB

        location, request_id = saml.start_request(
            self.app.settings["slug"], self.app.client_id, self.app.settings["metadata"]
        )
        self.stash_redirect_state(request, process, next_url, data, state_id=request_id, **kwargs)
        return HttpResponseRedirect(location)

    def sociallogin_from_response(self, request: HttpRequest, response: Any) -> SocialLogin:
        login: SocialLogin = super().sociallogin_from_response(request, response)
        login.claims = response.get_attributes()
        return login

    def extract_extra_data(self, data: Any) -> dict[str, Any]:
        return {}


provider_classes = [PortalOpenIDConnectProvider, PortalSAMLProvider]
