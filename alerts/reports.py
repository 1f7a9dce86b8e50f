"""The registry of sections of the weekly report.

Apps declare them in a module named `report_sections`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from core.lib.registry import Registry


@dataclass(frozen=True)
class Fact:
    """One line of a section: a label, a value with its unit, and optionally the value of the previous week."""

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
    """Register a section, a function `(since, until) -> facts`. A section without facts is omitted."""

    def register(facts: ReportSection) -> ReportSection:
        registry.add(name, Section(name, title, order, facts))
        return facts

    return register
