"""What a query is: the same columns computed over the same table in both languages."""

from dataclasses import dataclass, replace

import duckdb


@dataclass(frozen=True)
class Column:
    """One result. `why` says why the two differ on purpose."""

    ours: str
    theirs: str
    why: str = ""


@dataclass(frozen=True)
class Query:
    """Columns over a table; `key` names the rows of the result."""

    name: str
    table: str
    columns: tuple
    key: str = "id"
    # The same in DuckDB, where it is written otherwise.
    their_key: str = ""
    # Stages before, and the same as SQL's condition.
    before: str = ""
    where: str = "true"
    # None: for each row. Otherwise the columns are aggregates.
    group: bool = False
    # The scope of the aggregate and the rows it makes, for windows.
    scope: str = "per batch"
    their_table: str = ""

    def only(self, column):
        return replace(self, columns=(column,))

    def stages(self):
        named = ",\n     ".join(f"{c.ours} as c{n}" for n, c in enumerate(self.columns))
        before = f"  |> {self.before}\n" if self.before else ""
        if not self.group:
            return f"{before}  |> select {self.key} as key,\n     {named}"
        if self.key == "window_end":
            return f"{before}  |> aggregate {named}\n     {self.scope}\n  |> drop window_start"
        by = f"\n     by {self.key} as key" if self.key else ""
        keyed = "" if self.key else "\n  |> select 0 as key, " + ", ".join(f"c{n}" for n in range(len(self.columns)))
        return f"{before}  |> aggregate {named}{by}\n     {self.scope}{keyed}"

    def theirs(self, duck):
        """Rows, key first, or the message."""
        named = ", ".join(c.theirs for c in self.columns)
        key = self.their_key or self.key or "0"
        group = f" GROUP BY ({key})" if self.group and self.key else ""
        table = self.their_table or self.table
        # Rows in the order of `id`, for aggregates that depend on it.
        sql = f"SELECT {key}, {named} FROM (SELECT * FROM {table} ORDER BY id) WHERE {self.where}{group}"
        try:
            return duck.execute(sql).fetchall()
        except duckdb.Error as error:
            return f"DuckDB: {error}"


def columns(*pairs):
    """Columns of (ours, theirs) or (ours, theirs, why); one text where both are written alike."""
    return tuple(Column(p, p) if isinstance(p, str) else Column(*p) for p in pairs)
