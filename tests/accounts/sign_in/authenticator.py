"""Simulate an authenticator: it creates passkeys and signs challenges, as a phone or a security key does."""

import base64
import hashlib
import json
import os
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData

FLAG = AuthenticatorData.FLAG
PRESENT, VERIFIED, ATTESTED = 1, 4, 64


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Authenticator:
    """A device with one passkey. Tests set its attributes to simulate attackers and broken devices."""

    def __init__(self, origin: str = "http://localhost:8000") -> None:
        self.origin = origin
        self.rp_id = "localhost"
        self.flags = PRESENT | VERIFIED
        self.counter = 0
        self.credential_id = os.urandom(32)
        self.key = ec.generate_private_key(ec.SECP256R1())

    def create(self, options: dict[str, Any]) -> str:
        """Create a passkey for the options of a registration, and return the browser's response as JSON."""
        public = ES256.from_cryptography_key(self.key.public_key())  # type: ignore[no-untyped-call]
        credential = AttestedCredentialData.create(b"\0" * 16, self.credential_id, public)
        data = AuthenticatorData.create(
            self._rp_hash(), FLAG(self.flags | ATTESTED), self.counter, credential
        )
        attestation = AttestationObject.create("none", data, {})
        return self._answer(
            {
                "clientDataJSON": _text(self._client_data("webauthn.create", options)),
                "attestationObject": _text(bytes(attestation)),
            }
        )

    def get(self, options: dict[str, Any]) -> str:
        """Sign the challenge in the options of a sign-in, and return the browser's response as JSON."""
        client_data = self._client_data("webauthn.get", options)
        data = AuthenticatorData.create(self._rp_hash(), FLAG(self.flags), self.counter)
        signed = bytes(data) + hashlib.sha256(client_data).digest()
        signature = self.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        return self._answer(
            {
                "clientDataJSON": _text(client_data),
                "authenticatorData": _text(bytes(data)),
                "signature": _text(signature),
            }
        )

    def _client_data(self, kind: str, options: dict[str, Any]) -> bytes:
        given = {
            "type": kind,
            "challenge": options["publicKey"]["challenge"],
            "origin": self.origin,
        }
        return json.dumps(given).encode()

    def _rp_hash(self) -> bytes:
        return hashlib.sha256(self.rp_id.encode()).digest()

    def _answer(self, response: dict[str, str]) -> str:
        identity = _text(self.credential_id)
        return json.dumps(
            {
                "id": identity,
                "rawId": identity,
                "type": "public-key",
                "clientExtensionResults": {},
                "response": response,
            }
        )
