"""The registry of the weekly report's parts: `report_sections.py` of an app tells owners how the week was."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from opsportal.lib.registry import Registry


@dataclass(frozen=True)
class Fact:
    """One line: what, how much (with its unit), and the same for the week before if that says something."""

    label: str
    value: str
    before: str = ""


ReportSection = Callable[[datetime, datetime], list[Fact]]


@dataclass(frozen=True)
class Section:
    name: str
    title: str
    order: int
    facts: ReportSection


registry: Registry[Section] = Registry("report_sections")


def report_section(
    name: str, *, title: str, order: int = 500
) -> Callable[[ReportSection], ReportSection]:
    """Register a part `(since, until) -> facts`; one without facts is left out."""

    def register(facts: ReportSection) -> ReportSection:
        registry.add(name, Section(name, title, order, facts))
        return facts

    return register
