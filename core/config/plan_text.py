"""Write the plan of `config apply` and `import` as text."""

from typing import Any

import msgspec

from core.config.services import Action, Change
from core.config.sync import Plan

_SIGNS = {Action.CREATE: "+", Action.UPDATE: "~", Action.DELETE: "-"}
MAX_VALUE_LENGTH = 100


def describe_plan(plan: Plan) -> str:
    """Return the changes with former and new values, the problems, the unmanaged objects and a summary."""
    lines: list[str] = []
    for change in plan.changes:
        if change.action is not Action.KEEP:
            lines += _describe(change)
    for resource, name, problem in plan.problems:
        lines.append(f"! {resource.kind} “{name}”: {problem}")
    if plan.unmanaged:
        lines.append("Only in the portal, and not changed:")
        kinds: dict[str, list[str]] = {}
        for resource, name in plan.unmanaged:
            kinds.setdefault(resource.kind, []).append(name)
        lines += [f"  {kind}: {', '.join(names)}" for kind, names in kinds.items()]
    counts = [
        f"{len(plan.of(Action.CREATE))} to create",
        f"{len(plan.of(Action.UPDATE))} to change",
        f"{len(plan.of(Action.DELETE))} to delete",
        f"{len(plan.of(Action.KEEP))} unchanged",
    ]
    if plan.problems:
        counts.append(f"{len(plan.problems)} with errors")
    return "\n".join([*lines, f"Plan: {', '.join(counts)}."])


def _describe(change: Change) -> list[str]:
    lines = [f"{_SIGNS[change.action]} {change.resource.kind} “{change.name}”"]
    for member, (old, new) in change.differences.items():
        if change.action is Action.CREATE:
            if member != change.resource.key and new not in (None, "", [], {}):
                lines.append(f"    {member}: {_value(new)}")
        else:
            lines.append(f"    {member}: {_value(old)} → {_value(new)}")
    return lines


def _value(value: Any) -> str:
    text = value if isinstance(value, str) and value else msgspec.json.encode(value).decode()
    text = text.replace("\n", "⏎")
    return text if len(text) <= MAX_VALUE_LENGTH else f"{text[: MAX_VALUE_LENGTH - 1]}…"
