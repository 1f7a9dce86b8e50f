"""Read the money at risk by problem, for lists of problems."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from django.db import connection

from impact.extension_points import Problem
from impact.queries.figures import Amounts, figures_of, timestamp
from impact.services.catch_up import catch_up
from impact.states import State

_OPEN = "o.stage = 'open' AND (o.until IS NULL OR o.until > %s)"


def amounts_at_risk(
    kind: str,
    *,
    now: datetime,
    problems: Collection[int] | None = None,
    families: Mapping[int, int] | None = None,
) -> dict[int, Amounts]:
    """Return the amounts at risk by problem, for the given problems of the kind or for all of them.

    Problems without an amount at risk are left out.

    `families` maps a problem to the problem that it is shown with, for example after a merge. An order that both
    problems affected counts only once.
    """
    catch_up()
    if problems is not None and not problems:
        return {}
    families = families or {}
    found: dict[int, Amounts] = {}
    for problem, currency, amount in _sums(kind, now, problems):
        shown = families.get(problem, problem)
        of_problem = found.setdefault(shown, {})
        of_problem[currency] = of_problem.get(currency, 0) + int(amount)
    for kept in set(families.values()) & found.keys():
        members = [kept, *(part for part, whole in families.items() if whole == kept)]
        figures = figures_of([Problem(kind, member) for member in members], now=now)
        found[kept] = figures.amounts.get(State.AT_RISK, {})
    return {problem: amounts for problem, amounts in found.items() if any(amounts.values())}


def _sums(kind: str, now: datetime, problems: Collection[int] | None) -> list[tuple[int, str, int]]:
    where = "t.kind = %s"
    values: list[Any] = [kind]
    if problems is not None:
        where += f" AND t.problem IN ({', '.join(['%s'] * len(problems))})"
        values += sorted(problems)
    at = timestamp(now)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.problem, o.currency, sum(o.amount) FROM impact_touch t"  # noqa: S608
            f" JOIN impact_order o ON o.id = t.order_id WHERE {where} AND {_OPEN} GROUP BY 1, 2"
            " UNION ALL SELECT t.problem, f.currency, sum(f.amount) FROM impact_furtheramount f"
            " JOIN impact_touch t ON t.order_id = f.order_id JOIN impact_order o ON o.id = f.order_id"
            f" WHERE {where} AND {_OPEN} GROUP BY 1, 2",
            [*values, at, *values, at],
        )
        return list(cursor.fetchall())


def order_by_risk(at_risk: Mapping[int, Amounts]) -> list[int]:
    """Return the problems, sorted by the money at risk, highest first.

    Currencies are not converted. First, the amounts in the currency that occurs in the most problems are compared. If
    these amounts are equal, the amounts in the next most frequent currency are compared, and so on.
    """
    problem_counts: dict[str, int] = {}
    for amounts in at_risk.values():
        for currency in amounts:
            problem_counts[currency] = problem_counts.get(currency, 0) + 1
    currencies = sorted(problem_counts, key=lambda currency: (-problem_counts[currency], currency))
    return sorted(
        at_risk,
        key=lambda problem: (
            [-at_risk[problem].get(currency, 0) for currency in currencies],
            -problem,
        ),
    )
