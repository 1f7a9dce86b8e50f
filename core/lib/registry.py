"""Let an app extend another app that does not import it.

The owner of a kind of hook creates a `Registry` in its `extension_points.py`. Other apps register their contributions
with the owner's decorator in `<app>/hooks/<kind>.py`, which `autodiscover` imports at startup.
"""

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Warning, register
from django.utils.module_loading import autodiscover_modules

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])


class DuplicateName(Exception):
    pass


class Registry(Generic[T]):
    """The contributions to one kind of hook, by their unique names."""

    # Maps a module, such as "hooks.alert_rules", to its registry.
    all: ClassVar[dict[str, "Registry[Any]"]] = {}

    def __init__(self, kind: str, *, package: str = "hooks", is_lazy: bool = False) -> None:
        """Create the registry of a kind of hook.

        `package` is "" for modules beside the app's `models`, such as `tasks`. A lazy registry is not filled at
        startup: its owner calls `autodiscover` when the contributions are needed.
        """
        self.kind = kind
        self.module_name = f"{package}.{kind}" if package else kind
        self.is_lazy = is_lazy
        self._items: dict[str, T] = {}
        Registry.all.setdefault(self.module_name, self)

    def autodiscover(self) -> None:
        """Import the modules of this kind from all apps."""
        autodiscover_modules(self.module_name)

    def decorator(self, name: str, make: Callable[[F], T]) -> Callable[[F], F]:
        """Return a decorator that registers `make(function)` under the name and returns the function unchanged."""

        def register_function(function: F) -> F:
            self.add(name, make(function))
            return function

        return register_function

    def add(self, name: str, item: T) -> None:
        """Register an item. Raises DuplicateName if the name is taken."""
        if name in self._items:
            raise DuplicateName(f"{self.kind}: {name!r} is registered twice")
        self._items[name] = item

    def get(self, name: str) -> T:
        """Return the item with this name. Raises KeyError, with the list of known names, if there is none."""
        try:
            return self._items[name]
        except KeyError:
            raise KeyError(f"no {name!r} in {self.kind}; known names: {self.names()}") from None

    def names(self) -> list[str]:
        return sorted(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[T]:
        return iter([self._items[name] for name in self.names()])

    def __len__(self) -> int:
        return len(self._items)


def autodiscover() -> None:
    """Import the extension points of all apps, then the contributions to registries that are not lazy, at startup."""
    autodiscover_modules("extension_points")
    for registry in list(Registry.all.values()):
        if not registry.is_lazy:
            registry.autodiscover()


@register()
def check_hook_modules(app_configs: Sequence[AppConfig] | None, **_: object) -> list[CheckMessage]:
    """Return a warning for each module in `<app>/hooks/` that no registry imports, such as a misspelled one."""
    kinds = {registry.kind for registry in Registry.all.values()}
    warnings: list[CheckMessage] = []
    for app in app_configs or apps.get_app_configs():
        for path in sorted((Path(app.path) / "hooks").glob("[a-z]*")):
            if path.stem in kinds or path.suffix not in (".py", ""):
                continue
            similar = difflib.get_close_matches(path.stem, kinds, 1)
            hint = (
                f"Did you mean {similar[0]}?" if similar else f"Kinds: {', '.join(sorted(kinds))}."
            )
            message = f"{app.name}.hooks.{path.stem} is not a kind of hook and is never imported."
            warnings.append(Warning(message, hint=hint, id="core.W001"))
    return warnings
