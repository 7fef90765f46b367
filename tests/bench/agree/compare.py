"""Runs every query in both systems and prints what differs. Queries are in `scalars.py` and `aggregates.py`."""

import argparse
import datetime
import math
import pathlib
import subprocess
import sys
from decimal import Decimal

import duckdb

import aggregates
import scalars

HERE = pathlib.Path(__file__).resolve().parent

# The columns of the data as Millstream reads them; `id` is never null.
SCHEMAS = {
    "numbers": "id: int64, k: string?, i: int64?, j: int64?, d: decimal(12, 3)?, e: decimal(10, 2)?, f: float64?, g: float64?",
    "texts": "id: int64, s: string?, t: string?",
    "digits": "id: int64, s: string?",
    "moments": "id: int64, ts: timestamp?, u: timestamp?, dt: date?",
    "stamps": "id: int64, s: string?",
    "documents": "id: int64, j: string?",
    "pairs": "id: int64, k: string, x: float64?, y: float64?, n: int64, m: decimal(12, 2), w: string?, b: bool, ts: timestamp",
}


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--binary", required=True, help="the millstream to run")
    args.add_argument("--work", required=True, type=pathlib.Path, help="where data and results go")
    args.add_argument("--verbose", action="store_true", help="print every query, equal or not")
    args.add_argument("words", nargs="*", help="only queries whose name contains one of these")
    args = args.parse_args()
    bench = Bench(args.binary, args.work)
    outcomes = []
    for query in scalars.queries() + aggregates.queries():
        if not args.words or any(word in query.name for word in args.words):
            outcomes += bench.run(query)
    return report(outcomes, args.verbose)


class Bench:
    """Both systems over the same files."""

    def __init__(self, binary, work):
        self.binary, self.work = binary, work
        self.duck = duckdb.connect()
        self.duck.execute("SET TimeZone = 'UTC'")
        self.duck.execute((HERE / "data.sql").read_text())
        for table in SCHEMAS:
            folder = work / "data" / table
            folder.mkdir(parents=True, exist_ok=True)
            self.duck.execute(f"COPY (SELECT * FROM {table} ORDER BY id) TO '{folder}/rows.parquet' (FORMAT parquet)")

    def run(self, query):
        """The outcomes of a query's columns: (name, how, detail)."""
        theirs = query.theirs(self.duck)
        theirs = theirs if isinstance(theirs, str) else keyed(theirs)
        ours, problem = self.millstream(query.table, query.stages())
        if (problem or isinstance(theirs, str)) and len(query.columns) > 1:
            return [outcome for column in query.columns for outcome in self.run(query.only(column))]
        if not problem and len(query.columns) > 1 and set(map(repr, theirs)) != set(map(repr, ours)):
            # A row that one column loses would be missing from all.
            return [outcome for column in query.columns for outcome in self.run(query.only(column))]
        name = f"{query.name}: {query.columns[0].ours}"
        if problem or isinstance(theirs, str):
            why = query.columns[0].why
            how = "on purpose" if why else "BROKEN"
            return [(name, how, why or problem or theirs)]
        return [(f"{query.name}: {c.ours}", *judged(c, rows_of(theirs, i), rows_of(ours, i))) for i, c in enumerate(query.columns)]

    def millstream(self, table, stages):
        """Rows by key of what the stages make of the table, or why there are none."""
        folder = self.work / "run"
        folder.mkdir(exist_ok=True)
        out = folder / "out"
        for old in out.glob("*"):
            old.unlink()
        (folder / "query.stream").write_text(
            f'pipeline compare {{ every: 1s }}\n'
            f'source {table} = files("{self.work.resolve()}/data/{table}/*.parquet") '
            f'{{ format: parquet, schema: {{ {SCHEMAS[table]} }} }} bad fail\n'
            f'stream result =\n  from {table}\n{stages}\n'
            f'from result |> into files("{out.resolve()}") {{ format: parquet }}\n'
        )
        ran = subprocess.run(
            [self.binary, "--color", "never", "run", "--once", str(folder / "query.stream")], capture_output=True, text=True
        )
        if ran.returncode != 0:
            return None, ran.stderr.strip() or ran.stdout.strip()
        files = sorted(str(f) for f in out.glob("*.parquet"))
        if not files:
            return {}, None
        return keyed(self.duck.execute("SELECT * FROM read_parquet($1)", [files]).fetchall()), None


def keyed(rows):
    """Rows by their first column."""
    table = {one_nan(row[0]): row[1:] for row in rows}
    if len(table) != len(rows):
        raise SystemExit(f"a key comes twice: {sorted(map(repr, (row[0] for row in rows)))}")
    return table


def one_nan(key):
    """NaN is not equal to itself, and so finds no partner among keys."""
    return "NaN" if isinstance(key, float) and math.isnan(key) else key


def rows_of(table, column):
    return {key: row[column] for key, row in table.items()}


def judged(column, theirs, ours):
    """Whether a column is equal, and where it is not."""
    keys = sorted(set(theirs) | set(ours), key=repr)
    gone = object()
    wrong = [
        f"{key!r}: {show(ours.get(key, gone), gone)}, DuckDB {show(theirs.get(key, gone), gone)}"
        for key in keys
        if not same(ours.get(key, gone), theirs.get(key, gone))
    ]
    if not wrong:
        return ("STALE", "is equal, but a reason for differing is given") if column.why else ("equal", f"{len(keys)} rows")
    return ("on purpose", column.why) if column.why else ("DIFFERS", "; ".join(wrong))


def show(value, gone):
    return "no row" if value is gone else repr(value)


def same(a, b):
    """Equal values; floats up to rounding, with the sign of zeros and NaN; numbers of any type by value."""
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, float) and isinstance(b, float):
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return a == b and math.copysign(1, a) == math.copysign(1, b) if a == 0 or b == 0 else math.isclose(a, b, rel_tol=1e-9)
    if isinstance(a, (int, float, Decimal)) and isinstance(b, (int, float, Decimal)):
        exact = not isinstance(a, float) and not isinstance(b, float)
        return a == b if exact else math.isclose(float(a), float(b), rel_tol=1e-9)
    if isinstance(a, datetime.datetime) and isinstance(b, datetime.datetime):
        return a.replace(tzinfo=None) == b.replace(tzinfo=None)
    if isinstance(a, str) and isinstance(b, str):
        # Moments beyond what Python has come as text.
        return a.removesuffix("+00") == b.removesuffix("+00")
    return type(a) is type(b) and a == b


def report(outcomes, verbose):
    counts = {}
    for name, how, detail in outcomes:
        counts[how] = counts.get(how, 0) + 1
        if verbose or how != "equal":
            print(f"{how:10}  {name}\n            {detail}")
    print(f"\n{len(outcomes)} columns compared: " + ", ".join(f"{n} {how}" for how, n in sorted(counts.items())))
    return 1 if {"DIFFERS", "BROKEN", "STALE"} & set(counts) else 0


if __name__ == "__main__":
    sys.exit(main())
