"""Describe the problem that a reading of a rule shows, with its key, title and message."""

import hashlib
import json
from collections.abc import Iterable, Mapping

from alerts.evaluation import Decision
from alerts.extension_points import Reading
from alerts.messages import format_value
from alerts.models import AlertRule
from alerts.queries.impact import references_to_json
from alerts.services.lifecycle import Problem
from core.lib import formats


def problem_key(rule_name: str, labels: Iterable[tuple[str, str]] = ()) -> str:
    """Return the key of a problem, which depends on the rule and the labels, but not on the value, time or severity."""
    pairs = sorted(labels)
    if not pairs:
        return f"rule:{rule_name}"
    return f"rule:{rule_name}:{hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:16]}"


def build_problem(row: AlertRule, key: str, reading: Reading | None, decision: Decision) -> Problem:
    labels = dict(reading.labels) if reading else {}
    named = ", ".join(labels.values())
    summary = row.problem_name
    return Problem(
        key=key,
        alert_type=row.alert_type,
        title=(reading and reading.title) or (f"{summary}: {named}" if named else summary),
        message=reading.message if reading and reading.message else _describe_breach(row, reading),
        severity=decision.severity,
        source=row.name.partition(".")[0],
        rule=row,
        value=reading.value if reading else None,
        threshold=row.threshold,
        unit=row.unit,
        labels=labels,
        metadata=_to_json(reading.metadata) if reading else {},
        references=references_to_json(reading.references) if reading else {},
        recent=decision.recent,
    )


def _describe_breach(row: AlertRule, reading: Reading | None) -> str:
    limit = format_value(row.threshold, row.unit)
    if reading is None:
        return f"No data for {formats.span(row.window)}."
    relation = "at or below" if row.below else "above"
    value = format_value(reading.value, row.unit)
    return f"{value}, {relation} the threshold of {limit} (over {formats.span(row.window)})."


def _to_json(metadata: Mapping[str, object]) -> dict[str, object]:
    """Convert metadata to JSON types. Values that have no JSON type become strings."""
    converted: dict[str, object] = json.loads(json.dumps(metadata, default=str))
    return converted
