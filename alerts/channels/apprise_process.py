"""Send one message with apprise. `alerts/channels/apprise.py` runs this program, which imports nothing from the portal.

The program reads a JSON object from standard input and writes a JSON object to standard output. Its requests go through
the portal's guarded proxy. An audit hook refuses all other connections, so no plugin reaches the internal network.
"""

import json
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

NOT_HTTP = "this service does not use HTTP, and this channel supports no other protocol"
READ_SECONDS = 10.0
FORBIDDEN_EVENTS = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.bind"}
)


def restrict_connections(port: int) -> None:
    """Prevent this process from starting programs, binding sockets, and connecting to all but `port` on loopback.

    An attempt raises PermissionError.
    """

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "socket.sendto") and arguments[1] != ("127.0.0.1", port):
            raise PermissionError(NOT_HTTP)
        if event in FORBIDDEN_EVENTS:
            raise PermissionError(NOT_HTTP)

    sys.addaudithook(check)


def main() -> None:
    given = json.load(sys.stdin)
    proxy = given["proxy"]
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        os.environ[name] = proxy
    json.dump(send(given, urlsplit(proxy).port or 0), sys.stdout)


def send(given: Mapping[str, Any], proxy_port: int) -> dict[str, Any]:
    import apprise  # noqa: PLC0415  slow to import

    problems: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            problems.append(record.getMessage())

    logger = logging.getLogger("apprise")
    logger.handlers = [Collect(logging.WARNING)]
    logger.propagate = False
    asset = apprise.AppriseAsset(
        app_id="opsportal",
        app_desc="opsportal",
        app_url="",
        async_mode=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        plugin_paths=[],
    )
    plugin = apprise.Apprise.instantiate(given["url"], asset=asset)
    if plugin is None:
        return {"error": "apprise does not support this URL", "is_valid": False}
    answer: dict[str, Any] = {
        "is_valid": True,
        "service": str(plugin.service_name),
        "host": host_of(plugin),
    }
    if given.get("only_check"):
        return answer
    restrict_connections(proxy_port)
    # The proxy takes up to 5 s to connect. apprise's own limit of 4 s would hide the reason that the proxy reports.
    plugin.socket_connect_timeout = plugin.socket_read_timeout = READ_SECONDS
    title, body = given["title"], given["body"]
    body_limit = int(plugin.body_maxlen) - (0 if plugin.title_maxlen else len(title) + 2)
    try:
        is_sent = plugin.notify(
            body=body[: max(body_limit, 1)],
            title=title[: int(plugin.title_maxlen)] if plugin.title_maxlen else title,
            notify_type=apprise.NotifyType(given["type"]),
            body_format=apprise.NotifyFormat.TEXT,
        )
    # Plugins may raise any exception, after which the message counts as not sent.
    except Exception as error:
        problems.append(f"{type(error).__name__}: {error}")
        is_sent = False
    return {
        **answer,
        "is_sent": bool(is_sent),
        "error": "" if is_sent else "; ".join(problems[-3:]),
    }


def host_of(plugin: Any) -> str:
    """Return the host that the user entered for a self-hosted service, or "" for a service in the cloud."""
    if any("{host}" in template for template in plugin.templates):
        return str(plugin.host or "")
    return ""


if __name__ == "__main__":
    main()
