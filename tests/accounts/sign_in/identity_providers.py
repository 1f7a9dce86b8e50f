"""Sign in through an identity provider as a browser does."""

import html
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.contrib.auth.models import Group, User
from django.test import Client

from core.accounts.models import IdentityProvider
from core.accounts.services.roles import Role
from tests.servers.identity_provider import CLIENT_ID

START = "/admin/sso/company/"


def make_provider(**fields: Any) -> IdentityProvider:
    staff = Group.objects.get(name=Role.STAFF)
    plain = {"name": "Company", "slug": "company", "client_id": CLIENT_ID, "client_secret": "s"}
    return IdentityProvider.objects.create(**{**plain, "default_role": staff, **fields})


def start(client: Client, **data: str) -> dict[str, str]:
    """Press the sign-in button, and return the query parameters of the redirect to the provider."""
    page = client.post(START, data).content.decode()
    found = re.search(r'content="0;url=([^"]+)"', page)
    assert found, page
    return {
        name: values[0]
        for name, values in parse_qs(urlsplit(html.unescape(found[1])).query).items()
    }


def come_back(client: Client, state: str, **query: str) -> Any:
    return client.get(f"{START}callback/", {"state": state, "code": "c", **query})


def sign_in_by_provider(client: Client, **data: str) -> Any:
    return come_back(client, start(client, **data)["state"])


def roles(user: User) -> set[str]:
    return set(user.groups.values_list("name", flat=True))
