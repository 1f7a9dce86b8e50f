"""Run a SAML provider on loopback that can send forged, expired or replayed assertions, and those of other portals."""

import base64
import re
import zlib
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from html import escape
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from lxml import etree

from tests.servers.fake_http import Answer, FakeHTTP, Received
from tests.servers.identity_provider import new_key

PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
EMAIL_ADDRESS = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
TRANSIENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
_NAMESPACES = 'xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"'


@dataclass(frozen=True)
class Signer:
    """A private key and its certificate in PEM format."""

    key: bytes
    certificate: bytes

    @property
    def in_metadata(self) -> str:
        return "".join(self.certificate.decode().splitlines()[1:-1])


def new_signer() -> Signer:
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "provider")])
    begins = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=36_500))
        .sign(key, hashes.SHA256())
    )
    return Signer(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate.public_bytes(serialization.Encoding.PEM),
    )


@cache
def usual_signer() -> Signer:
    return new_signer()


@dataclass
class SAMLProviderDouble:
    """A provider with metadata and a sign-in page. Tests change its attributes to simulate invalid responses."""

    name_id: str = "subject-1"
    name_id_format: str = PERSISTENT
    attributes: dict[str, list[str]] = field(
        default_factory=lambda: {"email": ["anna@shop.example"], "groups": []}
    )
    # Tests forge assertions by replacing this signer.
    signer: Signer = field(default_factory=usual_signer)
    signs: str = "assertion"  # "assertion", "response", or "" for no signature.
    algorithm: Any = xmlsec.Transform.RSA_SHA256
    # Unless they are None, this value and the next four replace the correct values in the response.
    audience: str | None = None
    issuer: str | None = None
    recipient: str | None = None
    destination: str | None = None
    in_response_to: str | None = None
    expires_in: timedelta = timedelta(minutes=5)
    begins_in: timedelta = timedelta(minutes=-1)
    # A pattern and its replacement, applied to the response before it is signed.
    edit: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        self.http = FakeHTTP()
        self.http.respond_with(self._answer)

    @property
    def entity_id(self) -> str:
        return f"{self.http.url}/metadata"

    def close(self) -> None:
        self.http.close()

    def metadata(self, signer: Signer | None = None) -> str:
        certificate = (signer or usual_signer()).in_metadata
        return (
            f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{self.entity_id}">'
            '<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">'
            '<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>'
            f"<ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
            '<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"'
            f' Location="{self.http.url}/sso"/></md:IDPSSODescriptor></md:EntityDescriptor>'
        )

    def respond(self, request: str) -> str:
        """Return the response to an encoded sign-in request, as the form on the provider's page contains it."""
        asked = etree.fromstring(zlib.decompress(base64.b64decode(request), -15))
        acs = asked.get("AssertionConsumerServiceURL")
        audience = asked.findtext("{urn:oasis:names:tc:SAML:2.0:assertion}Issuer")
        plain = self._response(str(asked.get("ID")), str(acs), str(audience))
        pattern, replacement = self.edit
        document = etree.fromstring(re.sub(pattern, replacement, plain) if pattern else plain)
        if self.signs:
            target = document if self.signs == "response" else document[-1]
            self._sign(target)
        return base64.b64encode(etree.tostring(document)).decode()

    def _response(self, request_id: str, acs: str, audience: str) -> str:
        now = datetime.now(UTC)
        issued, begins, expires = (
            f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (now, now + self.begins_in, now + self.expires_in)
        )
        issuer = f"<saml:Issuer>{self.issuer or self.entity_id}</saml:Issuer>"
        answered = request_id if self.in_response_to is None else self.in_response_to
        answers = f' InResponseTo="{answered}"' if answered else ""
        audience = audience if self.audience is None else self.audience
        restriction = (
            f"<saml:AudienceRestriction><saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction>"
            if audience
            else ""
        )
        attributes = "".join(
            f'<saml:Attribute Name="{name}">'
            + "".join(f"<saml:AttributeValue>{escape(one)}</saml:AttributeValue>" for one in values)
            + "</saml:Attribute>"
            for name, values in self.attributes.items()
            if values
        )
        return (
            f'<samlp:Response {_NAMESPACES} ID="_{uuid4().hex}" Version="2.0" IssueInstant="{issued}"'
            f' Destination="{self.destination or acs}" InResponseTo="{request_id}">{issuer}'
            '<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>'
            f'<saml:Assertion ID="_{uuid4().hex}" Version="2.0" IssueInstant="{issued}">{issuer}'
            f'<saml:Subject><saml:NameID Format="{self.name_id_format}">{self.name_id}</saml:NameID>'
            '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData'
            f'{answers} NotOnOrAfter="{expires}" Recipient="{self.recipient or acs}"/>'
            "</saml:SubjectConfirmation></saml:Subject>"
            f'<saml:Conditions NotBefore="{begins}" NotOnOrAfter="{expires}">{restriction}</saml:Conditions>'
            f'<saml:AuthnStatement AuthnInstant="{issued}"><saml:AuthnContext><saml:AuthnContextClassRef>'
            "urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext>"
            f"</saml:AuthnStatement><saml:AttributeStatement>{attributes}</saml:AttributeStatement>"
            "</saml:Assertion></samlp:Response>"
        )

    def _sign(self, target: etree._Element) -> None:
        signature = xmlsec.template.create(
            target, xmlsec.Transform.EXCL_C14N, self.algorithm, ns="ds"
        )
        target.insert(1, signature)  # The schema requires that the signature follows the issuer.
        is_sha1 = self.algorithm == xmlsec.Transform.RSA_SHA1
        digest = xmlsec.Transform.SHA1 if is_sha1 else xmlsec.Transform.SHA256
        reference = xmlsec.template.add_reference(signature, digest, uri=f"#{target.get('ID')}")
        for transform in (xmlsec.Transform.ENVELOPED, xmlsec.Transform.EXCL_C14N):
            xmlsec.template.add_transform(reference, transform)
        xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(signature))
        xmlsec.tree.add_ids(target.getroottree().getroot(), ["ID"])
        context = xmlsec.SignatureContext()
        context.key = xmlsec.Key.from_memory(self.signer.key, xmlsec.KeyFormat.PEM)
        context.key.load_cert_from_memory(self.signer.certificate, xmlsec.KeyFormat.PEM)
        context.sign(signature)

    def _answer(self, received: Received) -> Answer | None:
        if received.path == "/metadata":
            return Answer(200, self.metadata().encode(), {"Content-Type": "text/xml"})
        if received.path == "/sso":
            [request] = parse_qs(received.query)["SAMLRequest"]
            page = f'<form method="post"><input name="SAMLResponse" value="{self.respond(request)}"></form>'
            return Answer(200, page.encode(), {"Content-Type": "text/html"})
        return None


def response_in(page: str) -> str:
    found = re.search(r'name="SAMLResponse" value="([^"]+)"', page)
    assert found, page
    return found[1]


def with_other_person(response: str, name_id: str) -> str:
    """Return the response with `name_id` in the signed assertion, so that its signature is no longer valid."""
    document = base64.b64decode(response).decode()
    return base64.b64encode(
        re.sub(r"(<saml:NameID[^>]*>)[^<]*", rf"\g<1>{name_id}", document).encode()
    ).decode()


def wrapped(response: str, name_id: str) -> str:
    """Return the response with a forged assertion before the signed one, which stays valid (XML signature wrapping)."""
    document = etree.fromstring(base64.b64decode(response))
    signed = document[-1]
    forged = deepcopy(signed)
    forged.set("ID", "_forged")
    for signature in forged.findall("{http://www.w3.org/2000/09/xmldsig#}Signature"):
        forged.remove(signature)
    for node in forged.iter("{urn:oasis:names:tc:SAML:2.0:assertion}NameID"):
        node.text = name_id
    document.insert(len(document) - 1, forged)
    return base64.b64encode(etree.tostring(document)).decode()


def answering(response: str, request_id: str) -> str:
    """Return the response with `request_id` as the request that it answers. The signed assertion stays unchanged."""
    document = etree.fromstring(base64.b64decode(response))
    document.set("InResponseTo", request_id)
    return base64.b64encode(etree.tostring(document)).decode()
