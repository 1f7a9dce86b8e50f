"""Define the types of monitors and their addresses. All functions are pure.

The scheme of a monitor's address determines its type: `https://…`, `dns://shop.example.com`,
`postgresql://db.example.com`.
"""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import SplitResult, urlsplit


class MonitorType(StrEnum):
    HTTP = "http"
    TCP = "tcp"
    PING = "ping"
    DNS = "dns"
    POSTGRESQL = "postgresql"
    REDIS = "redis"
    SMTP = "smtp"


@dataclass(frozen=True)
class TypeInfo:
    label: str
    purpose: str
    example: str
    schemes: tuple[str, ...]  # The first scheme is added to an address that has none.


TYPES: dict[MonitorType, TypeInfo] = {
    MonitorType.HTTP: TypeInfo(
        "Web address",
        "HTTP(S): status code, text, JSON values and response time, optionally after other requests",
        "https://shop.example.com/health",
        ("https", "http"),
    ),
    MonitorType.TCP: TypeInfo(
        "TCP port", "A port that accepts connections", "tcp://gate.example.com:9100", ("tcp",)
    ),
    MonitorType.PING: TypeInfo(
        "Ping", "A host that answers ICMP echo requests", "ping://gate.example.com", ("ping",)
    ),
    MonitorType.DNS: TypeInfo(
        "DNS record", "A name that has the expected records", "dns://example.com", ("dns",)
    ),
    MonitorType.POSTGRESQL: TypeInfo(
        "PostgreSQL",
        "A database that accepts a sign-in and answers a query",
        "postgresql://db.example.com:5432/shop",
        ("postgresql", "postgres"),
    ),
    MonitorType.REDIS: TypeInfo(
        "Redis",
        "A server that accepts a sign-in and answers PING; rediss:// uses TLS",
        "redis://cache.example.com:6379/0",
        ("redis", "rediss"),
    ),
    MonitorType.SMTP: TypeInfo(
        "Mail server (SMTP)",
        "A server that sends its greeting, with STARTTLS or TLS (smtps://) and a sign-in if required",
        "smtp://mail.example.com:587",
        ("smtp", "smtps"),
    ),
}
TYPE_OF_SCHEME = {scheme: kind for kind, info in TYPES.items() for scheme in info.schemes}
# The portal also monitors the certificates of addresses with these schemes.
TLS_SCHEMES = ("https", "rediss", "smtps")
_DEFAULT_PORTS = {
    "https": 443,
    "http": 80,
    "postgresql": 5432,
    "postgres": 5432,
    "redis": 6379,
    "rediss": 6379,
    "smtp": 25,
    "smtps": 465,
}
# A monitor of this type may connect to these ports, which are denied to HTTP requests.
_OWN_PORTS = {MonitorType.SMTP: (25, 465, 587)}
_WITH_PATH = (MonitorType.HTTP, MonitorType.POSTGRESQL, MonitorType.REDIS)


def type_of(url: str) -> MonitorType:
    """Return the type of a monitor with this address. An unknown scheme counts as HTTP."""
    return TYPE_OF_SCHEME.get(urlsplit(url).scheme, MonitorType.HTTP)


def add_scheme(text: str, kind: MonitorType) -> str:
    """Add the scheme of the type to an address without a scheme.

    For example, "gate.example.com" becomes "ping://gate.example.com".
    """
    text = text.strip()
    return text if "://" in text or not text else f"{TYPES[kind].schemes[0]}://{text}"


def port_of(url: str) -> int:
    """Return the port of an address, or the default port of its protocol, or 0 if the protocol has none."""
    parts = urlsplit(url)
    return parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)


def may_use_port(kind: MonitorType, port: int, denied: list[int]) -> bool:
    """Return False if `denied` contains the port and the type does not use the port itself."""
    return port not in denied or port in _OWN_PORTS.get(kind, ())


def describe_problem(url: str) -> str:
    """Return a sentence that says why the address is invalid, or "" if it is valid."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "The host or the port of this address is invalid."
    kind = TYPE_OF_SCHEME.get(parts.scheme)
    if kind is None:
        schemes = ", ".join(f"{scheme}://" for scheme in TYPE_OF_SCHEME)
        return f"Enter an address that starts with one of {schemes}."
    if not parts.hostname:
        return f"Enter an address with a host, such as {TYPES[kind].example}."
    if parts.username or parts.password:
        if kind is MonitorType.HTTP:
            return "Put credentials in a header, not in the address."
        return "Put the user name and the password in their own fields, not in the address."
    if kind is MonitorType.TCP and not port:
        return "Add a port, such as tcp://db.example.com:5432."
    if kind in (MonitorType.DNS, MonitorType.PING) and port:
        return f"Remove the port, as in {TYPES[kind].example}."
    return _describe_rest(kind, parts)


def _describe_rest(kind: MonitorType, parts: SplitResult) -> str:
    path = parts.path.strip("/")
    if kind is not MonitorType.HTTP and (parts.query or parts.fragment):
        return f"Remove the part after the host, as in {TYPES[kind].example}."
    if path and kind not in _WITH_PATH:
        return f"Remove the part after the host, as in {TYPES[kind].example}."
    if kind is MonitorType.REDIS and path and not path.isdecimal():
        return "The part after the host is the number of a database, such as redis://cache.example.com/0."
    return ""
