"""Find alerts that probably have the same cause because they concern the same host, app or component.

All functions are pure.
"""

import re
from collections.abc import Mapping

# Labels and metadata with these names identify what an alert concerns. Each value is the kind of cause that the name
# stands for. `list_causes` returns the causes in this order.
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
    "alert group": "group",  # Alertmanager and Grafana assign this label to alerts.
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
