"""Determine what an alert concerns, so that alerts about the same host, app or component can be combined.

All functions are pure.
"""

import re
from collections.abc import Mapping

# Maps names of labels and metadata to kinds of causes. `list_causes` returns the causes in the same order.
_CAUSES = {
    "component": "component",
    "host": "host",
    "hostname": "host",
    "instance": "host",
    "node": "host",
    "server": "host",
    "app": "app",
    "application": "app",
    "service": "app",
    # The group that Alertmanager or Grafana assigned (see views/receive.py).
    "alert group": "group",
}
_PORT = re.compile(r":\d{1,5}\Z")
MAX_NAME_LENGTH = 100


def list_causes(labels: Mapping[str, object], metadata: Mapping[str, object]) -> list[str]:
    """Return the causes that an alert names, such as ["host shop.example", "app shop"].

    Two alerts with a common cause are related.
    """
    found = []
    for name, kind in _CAUSES.items():
        value = str(labels.get(name) or metadata.get(name) or "").strip()
        if kind == "host":
            value = _PORT.sub("", value).lower()
        if value:
            found.append(f"{kind} {value[:MAX_NAME_LENGTH]}")
    return list(dict.fromkeys(found))
