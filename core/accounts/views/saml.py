"""Complete a sign-in with the response that a SAML provider's page sends through the browser.

The SAML libraries need several megabytes of memory, so they are imported only when needed.
"""

from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import complete_social_login
from allauth.socialaccount.sessions import LoginSession
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from core.accounts.models import IdentityProvider
from core.accounts.services import single_sign_on, single_sign_on_failures

MAX_RESPONSE_BYTES = 256 * 1024
# The browser follows the redirect immediately, so a longer time is not needed.
KEPT_SECONDS = 60


def _provider(slug: str) -> IdentityProvider:
    for provider in single_sign_on.enabled_providers():
        if provider.slug == slug and provider.kind == IdentityProvider.Kind.SAML:
            return provider
    raise Http404("There is no such identity provider.")


@require_GET
def metadata(request: HttpRequest, slug: str) -> HttpResponse:
    """Respond with the portal's SAML metadata, which the provider needs."""
    from core.accounts.services import saml  # noqa: PLC0415  see the module's docstring

    content = saml.portal_metadata(slug, _provider(slug).client_id)
    return HttpResponse(content, content_type="application/samlmetadata+xml")


@csrf_exempt  # The provider's form has no CSRF token. `finish` checks the response instead.
@never_cache
@require_POST
def acs(request: HttpRequest, slug: str) -> HttpResponse:
    """Keep the provider's response for KEPT_SECONDS, and redirect the browser to `finish`.

    A browser that posts a form from another site omits the session cookie, but sends it when it follows the redirect.
    Therefore, only `finish` can check that this browser started the sign-in.
    """
    _provider(slug)
    posted = request.POST.get("SAMLResponse", "")
    response = HttpResponseRedirect(reverse("access:saml-finish", args=[slug]))
    if posted and len(posted) <= MAX_RESPONSE_BYTES:
        kept = _kept(request)
        kept.store.cycle_key()  # Generate a new key, so that the client cannot choose it.
        kept.store["response"] = posted
        kept.store.set_expiry(KEPT_SECONDS)
        kept.save(response)
    return response


@never_cache
@require_GET
def finish(request: HttpRequest, slug: str) -> HttpResponse:
    """Complete the sign-in if the response is valid and answers a request that this browser sent."""
    from core.accounts.services import saml  # noqa: PLC0415  see the module's docstring

    row = _provider(slug)
    kept = _kept(request)
    posted = kept.store.get("response", "")
    kept.delete()
    provider = get_adapter().get_provider(request, slug)
    try:
        checked, request_id = saml.check_response(slug, row.client_id, row.metadata, posted)
        state = provider.unstash_redirect_state(request, request_id)
        login = provider.sociallogin_from_response(request, checked)
    except (saml.InvalidMetadata, saml.InvalidResponse, PermissionDenied, ValueError) as error:
        reason = str(error) or "this browser did not ask for the response"
        return single_sign_on_failures.failure_page(request, provider.app.name, reason)
    login.state = state
    response: HttpResponse = complete_social_login(request, login)
    return response


def _kept(request: HttpRequest) -> LoginSession:
    return LoginSession(request, "saml_response", "saml-response")
