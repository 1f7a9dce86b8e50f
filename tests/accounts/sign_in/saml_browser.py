"""Sign in through a SAML provider as a browser does."""

import html
import re
from typing import Any

import httpx
from django.test import Client

from core.accounts.models import AuditEvent
from tests.accounts.sign_in.identity_providers import START
from tests.servers.saml_provider import response_in

ACS = f"{START}acs/"


def location_of(client: Client, **data: str) -> str:
    """Press the sign-in button, and return the URL of the redirect to the provider."""
    found = re.search(r'content="0;url=([^"]+)"', client.post(START, data).content.decode())
    assert found
    return html.unescape(found[1])


def ask(client: Client, **data: str) -> str:
    """Press the sign-in button, sign in at the provider, and return the provider's SAML response."""
    return response_in(httpx.get(location_of(client, **data)).text)


def post(client: Client, response: str) -> Any:
    """Post the SAML response as the provider's page does, follow the redirect, and return the last response."""
    sent = client.post(ACS, {"SAMLResponse": response}, headers={"Origin": "https://evil.example"})
    assert sent["Location"] == f"{ACS}finish/"
    return client.get(sent["Location"])


def reason() -> str:
    """Return the reason for the only failed sign-in in the audit log."""
    return AuditEvent.objects.get(action="single sign-on failed").detail
