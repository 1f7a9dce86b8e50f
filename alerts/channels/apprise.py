"""Send notifications to more than 100 other services through apprise, which selects the service by its URL.

The wiki lists the services and their URLs: https://github.com/caronc/apprise/wiki

The plugins of apprise send their own requests, which redirects or changed DNS records could lead to private addresses.
Therefore, apprise runs in a separate process that can connect only to a guarded proxy in this process.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from alerts.channels.base import (
    Config,
    DeliveryFailed,
    Field,
    Message,
    Receipt,
    Transport,
    truncate,
)
from alerts.channels.http import GONE_STATUSES, RETRYABLE_STATUSES
from core.lib.outbound import ForbiddenAddress, guard
from core.lib.outbound.forward_proxy import ForwardProxy

# The timeout must be well below LEASE_DURATION. It includes the start of the process.
TIMEOUT_SECONDS = 25.0
MAX_BODY_CHARACTERS = 4_000
MIN_SECRET_CHARACTERS = 4
_PROGRAM = Path(__file__).with_name("apprise_process.py")
_STATUS = re.compile(r"\berror[=:]\s*(\d{3})\b")
# No other variables are passed on, because they may contain secrets of the portal.
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "SYSTEMROOT")
_TYPES = {
    "critical": "failure",
    "high": "failure",
    "warning": "warning",
    "medium": "warning",
    "info": "info",
}


def check_apprise_url(url: str) -> None:
    """Raise ForbiddenAddress if apprise does not support the URL, or if the portal may not connect to its server.

    Raises DeliveryFailed if apprise cannot be run or exceeds the timeout.
    """
    with ForwardProxy(TIMEOUT_SECONDS) as proxy:
        found = _run({"url": url, "only_check": True}, proxy)
    if not found.get("is_valid"):
        raise ForbiddenAddress(
            "apprise does not support this URL; the list of services shows the format"
        )
    if host := found.get("host"):
        guard.check_host(str(host))


class Apprise(Transport):
    kind = "apprise"
    label = "Other services (ntfy, Gotify, Matrix, Signal, Zulip …)"
    fields = (
        Field(
            "url",
            "Service URL",
            is_secret=True,
            is_url=True,
            check=check_apprise_url,
            help="The URL in the format of apprise, for example ntfys://ntfy.example.com/topic, "
            "gotifys://gotify.example.com/token or zulip://bot@organization/token.",
        ),
    )

    def send(self, message: Message, config: Config, *, idempotency_key: str) -> Receipt:
        url = config["url"]
        with ForwardProxy(TIMEOUT_SECONDS) as proxy:
            given = {
                "url": url,
                "title": truncate(_title(message), 250),
                "body": truncate(build_body(message), MAX_BODY_CHARACTERS),
                "type": "success" if message.is_resolved else _TYPES.get(message.severity, "info"),
            }
            answer = _run(given, proxy)
        if answer.get("is_sent"):
            return Receipt(f"accepted by {answer['service']}")
        raise _failure(answer, url, proxy)


def _title(message: Message) -> str:
    return f"[{message.state_word}] {message.bare_title}"


def build_body(message: Message) -> str:
    facts = "\n".join(f"{name}: {value}" for name, value in message.facts)
    links = "\n".join(filter(None, [message.url, message.runbook]))
    return "\n\n".join(filter(None, [message.body, facts, links])) or message.title


def _run(given: Mapping[str, Any], proxy: ForwardProxy) -> dict[str, Any]:
    """Run apprise_process.py once and return its answer.

    Raises DeliveryFailed if the program fails or exceeds the timeout. The exception does not contain the output of
    the program, because the output may contain the URL.
    """
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    environment |= {"HOME": "/nonexistent", "NETRC": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(  # noqa: S603  the command is fixed, and the URL goes to its standard input
            [sys.executable, "-I", str(_PROGRAM)],
            input=json.dumps({**given, "proxy": proxy.url}),
            capture_output=True,
            text=True,
            env=environment,
            timeout=TIMEOUT_SECONDS,
            check=True,
        )
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise DeliveryFailed(f"no answer within {TIMEOUT_SECONDS:g} s") from None
    except (subprocess.CalledProcessError, OSError, ValueError) as error:
        raise DeliveryFailed(f"apprise could not be run ({type(error).__name__})") from None
    assert isinstance(answer, dict)
    return answer


def _failure(answer: Mapping[str, Any], url: str, proxy: ForwardProxy) -> DeliveryFailed:
    if not answer.get("is_valid"):
        return DeliveryFailed("apprise does not support this URL", is_gone=True)
    if proxy.is_forbidden:
        return DeliveryFailed(f"not a public address: {_without_secrets(proxy.problems[-1], url)}")
    if proxy.problems:
        return DeliveryFailed(f"unreachable: {_without_secrets(proxy.problems[-1], url)}")
    text = _without_secrets(str(answer.get("error") or "not accepted"), url)
    found = _STATUS.search(text)
    status = int(found[1]) if found else 0
    return DeliveryFailed(
        truncate(f"{answer['service']}: {text}", 1000),
        is_permanent=400 <= status < 500 and status not in RETRYABLE_STATUSES | GONE_STATUSES,
        is_gone=status in GONE_STATUSES,
    )


def _without_secrets(text: str, url: str) -> str:
    """Replace the parts of the URL that may be secret with an ellipsis.

    These are all parts of at least MIN_SECRET_CHARACTERS characters, except the scheme, the host and the port.
    """
    parts = urlsplit(url)
    tail = re.split(r"[/?&=@:#]", url.partition("://")[2])
    secrets = {part for raw in tail for part in (raw, unquote(raw))}
    for secret in sorted(secrets - {parts.hostname, str(parts.port or "")}, key=len, reverse=True):
        if len(secret) >= MIN_SECRET_CHARACTERS:
            text = text.replace(secret, "…")
    return text
