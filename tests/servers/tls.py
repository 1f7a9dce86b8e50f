"""Run a server that presents a self-signed TLS certificate and closes each connection after the handshake."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class TLSServer:
    """A TLS server on loopback whose self-signed certificate expires in `days` days and one hour."""

    def __init__(self, folder: Path, *, days: int, host: str = "127.0.0.1", port: int = 0) -> None:
        self._listener = socket.create_server((host, port))
        self.host, self.port = self._listener.getsockname()
        self._pem = folder / f"{host}-{self.port}.pem"
        self._context: ssl.SSLContext
        self.renew(days=days)
        self._thread = threading.Thread(target=self._serve, daemon=True, name="tls server")
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}/"

    def renew(self, *, days: int) -> None:
        """From the next connection on, present a new certificate that expires in `days` days and one hour."""
        self._pem.write_bytes(_make_certificate(self.host, days))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pem)
        self._context = context

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(2)

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            try:
                self._context.wrap_socket(raw, server_side=True).close()
            except OSError:
                raw.close()


def _make_certificate(host: str, days: int) -> bytes:
    """Return a private key and its certificate in PEM format."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days, hours=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
