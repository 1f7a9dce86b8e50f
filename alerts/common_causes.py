"""Find alerts that probably have the same cause: those about one host, one app, or one component. Pure functions."""

import re
from collections.abc import Mapping

# The labels and metadata that name a cause, in other systems as well, with the kind of cause. The first is named first.
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
    "alert group": "group",  # Alertmanager and Grafana have alert groups.
}
_PORT = re.compile(r":\d{1,5}\Z")
MAX_NAME_LENGTH = 100


def list_causes(labels: Mapping[str, object], metadata: Mapping[str, object]) -> list[str]:
    """Return what an alert is about, such as ["host shop.example", "app shop"]. Alerts that share one are related."""
    found = []
    for name, kind in _CAUSES.items():
        value = str(labels.get(name) or metadata.get(name) or "").strip()
        if kind == "host":
            value = _PORT.sub("", value).lower()
        if value:
            found.append(f"{kind} {value[:MAX_NAME_LENGTH]}")
    return list(dict.fromkeys(found))
