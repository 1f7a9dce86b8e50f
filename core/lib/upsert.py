"""Insert or update aggregate rows with statements that work on both SQLite and PostgreSQL."""

from collections.abc import Iterable, Mapping, Sequence

from django.db import connections, models, router


def upsert(
    model: type[models.Model],
    rows: Iterable[Mapping[str, object]],
    *,
    key: Sequence[str],
    add: Sequence[str] = (),
    greatest: Sequence[str] = (),
    least: Sequence[str] = (),
    replace: Sequence[str] = (),
) -> None:
    """Insert `rows`. If a row with the same values of the fields in `key` exists already, update it instead.

    `key` names the fields of a unique constraint. An update adds the new value to the old value in the fields of `add`,
    keeps the greater or lesser of the two values in `greatest` and `least`, and replaces the value in `replace`. Each
    key may occur only once in `rows`, and each row must have all fields that the arguments name. The rows are written
    in the order of their keys, so that concurrent writers cannot deadlock. They become part of the caller's
    transaction.
    """
    using = router.db_for_write(model)
    connection = connections[using]
    by_name = {field.name: field for field in model._meta.concrete_fields}
    names = (*key, *add, *greatest, *least, *replace)
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)
    column = {name: quote(str(by_name[name].column)) for name in names}
    highest, lowest = ("GREATEST", "LEAST") if connection.vendor == "postgresql" else ("MAX", "MIN")

    def excluded(name: str, function: str) -> str:
        c = column[name]
        return f"{c} = {function}({table}.{c}, EXCLUDED.{c})"

    changes = [f"{column[n]} = {table}.{column[n]} + EXCLUDED.{column[n]}" for n in add]
    changes += [excluded(n, highest) for n in greatest] + [excluded(n, lowest) for n in least]
    changes += [f"{column[n]} = EXCLUDED.{column[n]}" for n in replace]

    values = [
        [by_name[name].get_db_prep_save(row[name], connection) for name in names]
        for row in sorted(rows, key=lambda row: tuple(str(row[name]) for name in key))
    ]
    chunk_size = max(1, (connection.features.max_query_params or 20_000) // len(names))
    one = f"({', '.join(['%s'] * len(names))})"
    with connection.cursor() as cursor:
        for start in range(0, len(values), chunk_size):
            chunk = values[start : start + chunk_size]
            cursor.execute(
                f"INSERT INTO {table} ({', '.join(column[n] for n in names)})"  # noqa: S608
                f" VALUES {', '.join([one] * len(chunk))}"
                f" ON CONFLICT ({', '.join(column[n] for n in key)}) DO UPDATE SET {', '.join(changes)}",
                [value for row in chunk for value in row],
            )
