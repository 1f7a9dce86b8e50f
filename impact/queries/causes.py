"""Find the possible causes of a problem in all sources."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.urls import reverse

from core.accounts.queries import Edit, edits_between
from core.clients.models import ClientApp
from core.lib.app_access import apps_of_reader
from impact.causes import Cause, CauseKind, Change, Onset, rank
from impact.extension_points import cause_sources, problem_sources

log = logging.getLogger(__name__)

MAX_SHOWN = 5


def find_causes(onset: Onset | None, *, limit: int = MAX_SHOWN) -> list[Cause]:
    """Return up to `limit` possible causes of the problem with this onset, most likely cause first.

    If a source fails, the error is logged, and the other sources are used. Without an onset, no cause is known.
    """
    if onset is None:
        return []
    changes: list[Change] = []
    for source in cause_sources:
        try:
            changes += source.find(onset)
        except Exception:
            log.exception("source of causes failed", extra={"source": source.name})
    apps = apps_of_reader()
    if apps is not None:
        changes = [one for one in changes if one.app_id is None or one.app_id in apps]
    return rank(changes, onset)[:limit]


def causes_of(kind: str, id: int) -> list[Cause]:
    """Return the possible causes of the problem, or [] if its source determines no onset."""
    source = problem_sources.get(kind)
    return find_causes(source.onset(id)) if source.onset else []


def subject(model: str, pk: object) -> str:
    """Return the identifier of a row that changes and problems share, such as "alerts.alertrule 12"."""
    return f"{model} {pk}"


def list_edits(
    onset: Onset,
    models: Mapping[str, str],
    *,
    about: Callable[[Any], Iterable[str]] | None = None,
) -> Iterator[Change]:
    """Yield the edits that staff made in the admin to rows of these models, such as {"alerts.alertrule": "Rule"}.

    `about` returns further subjects that an edit of the row concerns, such as "component stripe".
    """
    edits = edits_between(onset.since, onset.at, models=models)
    rows = _load(edits)
    for edit in edits:
        row = rows.get((edit.model, edit.pk))
        by = f" by {edit.username}" if edit.username else ""
        detail = f" ({edit.fields})" if edit.fields else ""
        yield Change(
            CauseKind.SETTING,
            f"{models[edit.model]} {row or f'#{edit.pk}'} {edit.verb}{by}{detail}",
            edit.at,
            url=reverse(f"admin:{edit.model.replace('.', '_')}_change", args=[edit.pk])
            if row
            else "",
            app_id=row.pk if isinstance(row, ClientApp) else getattr(row, "app_id", None),
            subjects=frozenset(
                {subject(edit.model, edit.pk), *(about(row) if row and about else ())}
            ),
        )


def _load(edits: Sequence[Edit]) -> dict[tuple[str, str], Model]:
    """Return the edited rows that still exist, by model and primary key."""
    found: dict[tuple[str, str], Model] = {}
    for model in {edit.model for edit in edits}:
        pks = {edit.pk for edit in edits if edit.model == model and edit.pk.isdecimal()}
        for row in apps.get_model(model)._default_manager.filter(pk__in=pks):
            found[model, str(row.pk)] = row
    return found
