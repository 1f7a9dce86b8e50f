"""Sign in with SAML 2.0: describe the portal, create the request to the provider, and check its response.

python3-saml checks signatures, times, audience and destination. The portal also checks that the signed assertion
answers a request that this browser sent. Therefore, a stolen response and a response without a request are refused.

Section 4.1 of https://docs.oasis-open.org/security/saml/v2.0/saml-profiles-2.0-os.pdf specifies this kind of sign-in.
"""

import binascii
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse
from django.utils.text import get_text_list
from lxml import etree
from onelogin.saml2.auth import OneLogin_Saml2_Auth
from onelogin.saml2.constants import OneLogin_Saml2_Constants as Constants
from onelogin.saml2.errors import OneLogin_Saml2_Error
from onelogin.saml2.idp_metadata_parser import OneLogin_Saml2_IdPMetadataParser
from onelogin.saml2.settings import OneLogin_Saml2_Settings, validate_url

MAX_METADATA_BYTES = 512 * 1024
_CONFIRMATIONS = "saml:Subject/saml:SubjectConfirmation/saml:SubjectConfirmationData"
_AUDIENCES = "saml:Conditions/saml:AudienceRestriction/saml:Audience"


class InvalidMetadata(Exception):
    """The provider's metadata cannot be used. The message states the reason."""


class InvalidResponse(Exception):
    """The provider's response does not prove who the person is. The message states the reason for the audit log."""


def read_metadata(text: str) -> dict[str, Any]:
    """Return the provider in a metadata document as settings of python3-saml. Raises InvalidMetadata."""
    if not text.strip():
        raise InvalidMetadata("Paste the metadata of the provider, or enter its URL.")
    if len(text) > MAX_METADATA_BYTES:
        raise InvalidMetadata("The metadata is too long. Enter only the metadata of one provider.")
    if "<!DOCTYPE" in text:
        raise InvalidMetadata(
            "The metadata has a document type declaration (DOCTYPE), which is not allowed."
        )
    try:
        found = OneLogin_Saml2_IdPMetadataParser.parse(
            text, required_sso_binding=Constants.BINDING_HTTP_REDIRECT
        ).get("idp", {})
    except (etree.XMLSyntaxError, OneLogin_Saml2_Error, ValueError) as error:
        raise InvalidMetadata(f"The metadata is not valid XML: {error}") from error
    except AttributeError as error:
        # The parser raises this for a certificate element without text.
        raise InvalidMetadata("A certificate in the metadata is empty.") from error
    missing = [
        label
        for label, is_there in (
            ("an entityID", found.get("entityId")),
            ("a SingleSignOnService with HTTP-Redirect", found.get("singleSignOnService")),
            ("a certificate for signing", found.get("x509cert") or found.get("x509certMulti")),
        )
        if not is_there
    ]
    if missing:
        raise InvalidMetadata(f"The metadata lacks {get_text_list(missing, 'and')}.")
    if not _is_web_address(found["singleSignOnService"]["url"] or ""):
        raise InvalidMetadata("The address of the SingleSignOnService is not a web address.")
    return {name: found[name] for name in found if name != "singleLogoutService"}


def _is_web_address(url: str) -> bool:
    """Return True for a web address that python3-saml accepts. It would otherwise refuse the address at a sign-in."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        return False
    is_valid: bool = validate_url(url, allow_single_label_domain=True)
    return scheme in ("https", "http") and is_valid


def acs_url(slug: str) -> str:
    """Return the portal's address for responses, which the provider's page sends through the browser."""
    return f"{settings.BASE_URL}{reverse('access:saml-acs', args=[slug])}"


def entity_id(slug: str, chosen: str = "") -> str:
    """Return the entity id by which the provider knows the portal: `chosen` or, by default, the metadata's URL."""
    return chosen or f"{settings.BASE_URL}{reverse('access:saml-metadata', args=[slug])}"


def portal_metadata(slug: str, chosen_entity_id: str) -> bytes:
    """Return the portal's SAML metadata, which a provider can import."""
    config = {"strict": True, "sp": _portal(slug, chosen_entity_id), "security": _SECURITY}
    text = OneLogin_Saml2_Settings(config, sp_validation_only=True).get_sp_metadata()
    return text if isinstance(text, bytes) else text.encode()


def start_request(slug: str, chosen_entity_id: str, metadata: str) -> tuple[str, str]:
    """Return the URL of the provider, to redirect the browser to, and the id of the request in the URL.

    Raises InvalidMetadata.
    """
    auth = _auth(slug, chosen_entity_id, metadata, {})
    location = auth.login(return_to="")
    return str(location), str(auth.get_last_request_id())


def check_response(
    slug: str, chosen_entity_id: str, metadata: str, response: str
) -> tuple[OneLogin_Saml2_Auth, str]:
    """Return the checked response, and the id of the request that it answers.

    Raises InvalidResponse, or InvalidMetadata if the stored metadata is not valid.

    The caller must check that this browser sent the request.
    """
    auth = _auth(slug, chosen_entity_id, metadata, {"SAMLResponse": response})
    try:
        auth.process_response()
    except (binascii.Error, OneLogin_Saml2_Error, etree.XMLSyntaxError, ValueError) as error:
        raise InvalidResponse(str(error) or type(error).__name__) from error
    if auth.get_errors() or not auth.is_authenticated():
        raise InvalidResponse(auth.get_last_error_reason() or ", ".join(auth.get_errors()))
    request_id = str(auth.get_last_response_in_response_to() or "")
    _check_assertion(auth.get_last_response_xml(), request_id, entity_id(slug, chosen_entity_id))
    if auth.get_nameid_format() == Constants.NAMEID_TRANSIENT:
        raise InvalidResponse(
            "the NameID changes at every sign-in (transient); use persistent or emailAddress"
        )
    return auth, request_id


def _check_assertion(document: str, request_id: str, audience: str) -> None:
    """Raise InvalidResponse unless the assertion has the request id, the audience and a time of expiry.

    python3-saml accepts assertions without them. Only the assertion is read, because the signature may cover nothing
    else in the response.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    found = etree.fromstring(document.encode(), parser).findall("saml:Assertion", Constants.NSMAP)
    assertion = found[0] if len(found) == 1 else etree.Element("none")
    confirmations = assertion.findall(_CONFIRMATIONS, Constants.NSMAP)
    if not request_id or {one.get("InResponseTo") for one in confirmations} != {request_id}:
        raise InvalidResponse("the assertion is not a response to a request from this portal")
    if not all(one.get("NotOnOrAfter") for one in confirmations):
        raise InvalidResponse("the assertion has no expiry time")
    audiences = {one.text for one in assertion.findall(_AUDIENCES, Constants.NSMAP)}
    if audience not in audiences:
        raise InvalidResponse("the assertion does not name this portal as its audience")


_SECURITY = {
    "rejectDeprecatedAlgorithm": True,
    "allowSingleLabelDomains": True,  # Hosts in an internal network may have names without a dot.
    "requestedAuthnContext": False,
    "wantNameId": True,
    "wantAttributeStatement": False,
    "allowRepeatAttributeName": True,
    "digestAlgorithm": Constants.SHA256,
    "signatureAlgorithm": Constants.RSA_SHA256,
}


def _portal(slug: str, chosen_entity_id: str) -> dict[str, Any]:
    return {
        "entityId": entity_id(slug, chosen_entity_id),
        "assertionConsumerService": {"url": acs_url(slug), "binding": Constants.BINDING_HTTP_POST},
        "NameIDFormat": Constants.NAMEID_UNSPECIFIED,
    }


def _auth(
    slug: str, chosen_entity_id: str, metadata: str, posted: dict[str, str]
) -> OneLogin_Saml2_Auth:
    address = urlsplit(acs_url(slug))
    request = {  # Use the public address, because a proxy may have changed the request's address.
        "https": "on" if address.scheme == "https" else "off",
        "http_host": address.netloc,
        "script_name": address.path,
        "get_data": {},
        "post_data": posted,
    }
    config = {
        "strict": True,
        "security": _SECURITY,
        "sp": _portal(slug, chosen_entity_id),
        "idp": read_metadata(metadata),
    }
    return OneLogin_Saml2_Auth(request, config)
