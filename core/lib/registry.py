from collections.abc import Iterator
from typing import Generic, TypeVar

from django.utils.module_loading import autodiscover_modules

T = TypeVar("T")


class DuplicateName(Exception):
    pass


class Registry(Generic[T]):
    """Items with unique names that apps register in a module with an agreed name.

    The layer that owns the registry calls `autodiscover()` from its `AppConfig.ready()`; these modules are not imported
    in any other way.
    """

    def __init__(self, module_name: str) -> None:
        self.module_name = module_name
        self._items: dict[str, T] = {}

    def autodiscover(self) -> None:
        autodiscover_modules(self.module_name)

    def add(self, name: str, item: T) -> None:
        """Register an item. Raises DuplicateName if the name is taken."""
        if name in self._items:
            raise DuplicateName(f"{self.module_name}: {name!r} is registered twice")
        self._items[name] = item

    def get(self, name: str) -> T:
        """Return an item. Raises KeyError, which lists the known names, for an unknown name."""
        try:
            return self._items[name]
        except KeyError:
            raise KeyError(
                f"no {name!r} in {self.module_name}; known names: {self.names()}"
            ) from None

    def names(self) -> list[str]:
        return sorted(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[T]:
        return iter([self._items[name] for name in self.names()])

    def __len__(self) -> int:
        return len(self._items)
