"""Run an OpenID Connect provider on loopback that can issue forged or expired tokens, and tokens for other clients."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.servers.fake_http import Answer, FakeHTTP, Received

CLIENT_ID = "opsportal"


@dataclass
class Person:
    """The claims that the provider sends about the person who signs in next."""

    sub: str = "subject-1"
    email: str = "anna@shop.example"
    email_verified: bool = True
    groups: list[str] = field(default_factory=list)
    preferred_username: str = "anna"
    given_name: str = "Anna"
    family_name: str = "Meier"

    def claims(self) -> dict[str, Any]:
        return dict(self.__dict__)


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


_KEY = new_key()


class IdentityProviderDouble:
    """A provider with discovery, keys, tokens and userinfo. Tests change its attributes to simulate invalid answers."""

    def __init__(self) -> None:
        self.key = _KEY
        # Tests forge tokens by replacing this key with an unpublished one.
        self.signing_key = self.key
        self.algorithm = "RS256"
        self.person = Person()
        self.token_claims: dict[str, Any] = {}  # Overrides of claims in the ID token.
        self.userinfo_claims: dict[str, Any] = {}
        self.has_id_token = True
        self.http = FakeHTTP()
        self.http.respond_with(self._answer)

    @property
    def issuer(self) -> str:
        return self.http.url

    def close(self) -> None:
        self.http.close()

    def id_token(self) -> str:
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": self.person.sub,
            "iat": now,
            "exp": now + 300,
            **self.token_claims,
        }
        key: Any = self.signing_key if self.algorithm == "RS256" else ""
        return jwt.encode(claims, key, algorithm=self.algorithm, headers={"kid": "k1"})

    def _answer(self, received: Received) -> Answer | None:
        content: dict[str, Any]
        match received.path:
            case "/.well-known/openid-configuration":
                content = {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token",
                    "userinfo_endpoint": f"{self.issuer}/userinfo",
                    "jwks_uri": f"{self.issuer}/jwks",
                    "token_endpoint_auth_methods_supported": ["client_secret_post"],
                }
            case "/jwks":
                public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
                content = {"keys": [{**public, "kid": "k1", "alg": "RS256", "use": "sig"}]}
            case "/token":
                content = {"access_token": "a", "token_type": "Bearer", "expires_in": 300}
                if self.has_id_token:
                    content["id_token"] = self.id_token()
            case "/userinfo":
                content = {**self.person.claims(), **self.userinfo_claims}
            case _:
                return None
        headers = {"Content-Type": "application/json"}
        return Answer(200, json.dumps(content).encode(), headers)
