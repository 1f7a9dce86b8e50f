"""Read the release, the environment and the language of the program that sent a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Entries keep these attributes of the resource. The other attributes
# describe the process and are the same in all of its entries.
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
        """Return the text of the first of these attributes that is set, or ""."""
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
