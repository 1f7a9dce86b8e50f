"""Add up the points of series in the database.

The SQL is written by hand for speed. For the 1,440 minutes of a day on SQLite, the sums of all columns of Latency take
1.7 ms. The same query built by the ORM takes 3.0 ms, and loading the rows takes 6.5 ms. A page needs several of these
queries.
"""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import IntegerField, QuerySet

from health.models import Series
from health.models.measurements import Point
from health.queries.resolutions import Period

Sums = Sequence[Any]


def add_up(
    points: type[Point],
    columns: Sequence[str],
    series: QuerySet[Series],
    periods: Sequence[Period],
    *,
    by: str = "0",
) -> list[tuple[int, Sums]]:
    """Return the sums of the columns over the points of each period, for each value of `by` that occurs in the period.

    `by` is an SQL expression with an integer value. A value of `by` occurs once for each period that contains it, and
    the caller adds up these rows. The result contains the maximum instead of the sum of a column whose name begins with
    "highest".
    """
    try:
        series_sql, series_params = series.values("pk").query.sql_with_params()
    except EmptyResultSet:  # For example, a filter by an empty list of names.
        return []
    quote = connection.ops.quote_name
    table = quote(points._meta.db_table)
    sums = ", ".join(_sum(points, name) for name in columns)
    selects, params = [], []
    for period in periods:
        selects.append(
            f"SELECT {by} AS part, {sums} FROM {table}"  # noqa: S608
            f" WHERE series_id IN ({series_sql}) AND tier = %s AND start >= %s AND start < %s GROUP BY 1"
        )
        bounds = (period.since, period.until)
        params += [*series_params, period.tier.value]
        params += [connection.ops.adapt_datetimefield_value(bound) for bound in bounds]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(selects), params)
        return [(part, figures) for part, *figures in cursor.fetchall()]


def add_up_by(
    fields: Sequence[str],
    points: type[Point],
    columns: Sequence[str],
    series: QuerySet[Series],
    periods: Sequence[Period],
) -> list[tuple[tuple[Any, ...], Sums]]:
    """Return the fields and the sums of the columns for each series and each period in which the series has points.

    The fields are read afterwards, because joining them to every point would take longer.
    """
    sums = add_up(points, columns, series, periods, by="series_id")
    found = {pk: tuple(values) for pk, *values in series.values_list("pk", *fields)}
    # A series that is deleted between the two queries is left out.
    return [(found[pk], figures) for pk, figures in sums if pk in found]


def _sum(points: type[Point], name: str) -> str:
    column = connection.ops.quote_name(name)
    if name.startswith("highest"):
        return f"MAX({column})"
    # On PostgreSQL, the sum of a bigint column would be a Decimal.
    is_integer = isinstance(points._meta.get_field(name), IntegerField)
    return f"CAST(SUM({column}) AS BIGINT)" if is_integer else f"SUM({column})"
