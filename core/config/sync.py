"""Export all objects, and plan and make the changes that a configuration file requires."""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from django.db import transaction

from core.config import secrets, services
from core.config.comparing import list_differences, with_positions
from core.config.extension_points import InvalidConfig, Resource, Values
from core.config.services import Action, Change
from core.config.values import given_type, members_of, resources_in_order
from core.lib import outbound

Document = Mapping[str, list[Values]]


@dataclass
class Plan:
    """The changes that a file requires, planned or made.

    A file with problems changes nothing, unless `apply` skips invalid objects.
    """

    changes: list[Change] = field(default_factory=list)
    problems: list[tuple[Resource, str, str]] = field(default_factory=list)
    # Objects that exist only in the portal, not in the file.
    unmanaged: list[tuple[Resource, str]] = field(default_factory=list)

    def of(self, action: Action) -> list[Change]:
        return [change for change in self.changes if change.action is action]

    @property
    def is_empty(self) -> bool:
        return len(self.of(Action.KEEP)) == len(self.changes)


class _Undo(Exception):
    pass


def export(*, now: datetime, kinds: Collection[str] = ()) -> dict[str, list[Values]]:
    """Return the portal's objects by kind, with references to environment variables in place of secrets."""
    references = secrets.References()
    document = {}
    for resource in resources_in_order():
        if not resource.is_in_files or (kinds and resource.kind not in kinds):
            continue
        members = members_of(resource)
        rows = members.prefetched(resource.rows()).order_by(resource.key)
        document[resource.kind] = [
            references.insert(resource, members.read(row))
            for row in rows
            if resource.is_exported(row, now=now)
        ]
    return document


def apply(
    document: Document,
    *,
    by: str,
    is_dry_run: bool,
    is_pruning: bool = False,
    skips_invalid: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Plan:
    """Create and change objects to match the document, all in one transaction, and return the changes.

    A dry run makes the changes and rolls them back, so that the plan is exact. With `is_pruning`, also delete objects
    that the document lacks, but only those of its kinds. With `skips_invalid`, write the valid objects even if the
    document has invalid ones.
    """
    resolved = {
        kind: [
            secrets.resolve(one, os.environ if environment is None else environment)
            for one in objects
        ]
        for kind, objects in document.items()
    }
    if not _differs(resolved, is_pruning):
        return _run(resolved, by=by, is_pruning=False)
    try:
        # Forms look up the hosts of addresses. The hosts are looked up before the transaction, so that the transaction
        # does not wait for name servers.
        with outbound.remember_lookups(_hosts(resolved)), transaction.atomic():
            plan = _run(resolved, by=by, is_pruning=is_pruning)
            if is_dry_run or (plan.problems and not skips_invalid):
                raise _Undo
    except _Undo:
        pass
    return plan


def _differs(document: Document, is_pruning: bool) -> bool:
    """Return True if the portal may differ from the document. The check only reads, so nothing is locked."""
    for resource in resources_in_order():
        rows = _rows_of(resource, document)
        if is_pruning and resource.kind in document and _others(resource, document).exists():
            return True
        for given in document.get(resource.kind, ()):
            row = rows.get(given[resource.key])
            if row is None or not _is_same(resource, row, given):
                return True
    return False


def _is_same(resource: Resource, row: Any, given: Values) -> bool:
    stored = members_of(resource).read(row)
    try:
        restored = secrets.restore(resource, with_positions(resource, given), stored)
    except InvalidConfig:
        return False
    return not list_differences(resource, restored, stored)


def _rows_of(resource: Resource, document: Document) -> dict[str, Any]:
    if not document.get(resource.kind):
        return {}
    return {
        getattr(row, resource.key): row for row in members_of(resource).prefetched(resource.rows())
    }


def _others(resource: Resource, document: Document) -> Any:
    names = [given[resource.key] for given in document[resource.kind]]
    return resource.rows().exclude(**{f"{resource.key}__in": names})


def _run(document: Document, *, by: str, is_pruning: bool) -> Plan:
    plan = Plan()
    resources = resources_in_order()
    for resource in resources:
        rows = _rows_of(resource, document)
        for given in document.get(resource.kind, ()):
            name = str(given[resource.key])
            try:
                plan.changes.append(_put(resource, rows.get(name), given, by))
            except (InvalidConfig, services.KeyTaken) as refusal:
                plan.problems.append((resource, name, str(refusal)))
    for resource in reversed(resources):
        if resource.kind in document:
            for row in _others(resource, document):
                name = str(getattr(row, resource.key))
                try:
                    if is_pruning:
                        plan.changes.append(services.delete(resource, row, by=by))
                    else:
                        plan.unmanaged.append((resource, name))
                except services.CannotDelete:
                    plan.unmanaged.append((resource, name))
    return plan


def _put(resource: Resource, row: Any, given: Values, by: str) -> Change:
    try:
        msgspec.convert(
            secrets.replace_texts(given, lambda text, _: str(text)), given_type(resource)
        )
    except msgspec.ValidationError as error:
        raise InvalidConfig({"": [str(error)]}) from error
    if row is None:
        return services.create(resource, given, by=by)
    return services.update(resource, row, given, by=by)


def _hosts(document: Document) -> Iterator[str]:
    texts: list[str] = []

    def note(text: str, _: object) -> str:
        texts.append(text)
        return text

    secrets.replace_texts(list(document.values()), note)
    for text in texts:
        if re.match(r"[a-z][a-z0-9+.-]*://", text):
            try:
                host = urlsplit(text).hostname
            except ValueError:
                continue
            if host:
                yield host
