"""Read the release, the environment and the language of the program that sent a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Only resource attributes that start with one of these, and not all of them (see `kept`), are copied to log entries.
# The others would repeat details of the process, such as its command line, in every entry.
_KEPT = ("service.", "host.name", "k8s.", "container.name", "cloud.region", "faas.")
_PLATFORMS = {
    "nodejs": "node",
    "webjs": "javascript",
    "dotnet": "csharp",
    "python": "python",
    "java": "java",
    "go": "go",
    "php": "php",
    "ruby": "ruby",
    "rust": "rust",
}


@dataclass(frozen=True, slots=True)
class Resource:
    attributes: Mapping[str, Any]

    def text(self, *names: str) -> str:
        """Return the first of the named attributes that is set, as text, or "" if none is set."""
        return first_text(self.attributes, *names)

    @property
    def release(self) -> str:
        name, version = self.text("service.name"), self.text("service.version")
        return f"{name}@{version}" if name and version else version

    @property
    def environment(self) -> str:
        return self.text("deployment.environment.name", "deployment.environment")

    @property
    def platform(self) -> str:
        return _PLATFORMS.get(self.text("telemetry.sdk.language"), "other")

    @property
    def kept(self) -> dict[str, Any]:
        hidden = ("service.instance.id", "service.version")
        return {
            name: value
            for name, value in self.attributes.items()
            if name.startswith(_KEPT) and name not in hidden
        }


def first_text(attributes: Mapping[str, Any], *names: str) -> str:
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
            return str(value)
    return ""
