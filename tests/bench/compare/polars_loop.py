"""The workloads with Polars, in a loop over the files: `polars_loop.py WORKLOAD CORES`, in a folder with `in`, `tables` and `out`.

How many threads there are is said by POLARS_MAX_THREADS.
"""

import glob
import sys
import time

import polars as pl

TYPES = {
    "order_id": pl.Int64, "user": pl.String, "category": pl.String, "region": pl.String,
    "amount": pl.Float64, "quantity": pl.Int64, "ts": pl.String,
}
state = {}


def counts(file):
    lines = pl.scan_csv(file, has_header=False, separator="\x01", quote_char=None, schema={"line": pl.String})
    words = lines.select(pl.col("line").str.split(" ").explode().alias("word")).filter(pl.col("word") != "")
    return words.group_by("word").agg(pl.len().cast(pl.Int64).alias("n"))


def orders(file, *names):
    rows = pl.scan_ndjson(file, schema={name: TYPES[name] for name in names})
    # Polars does not read decimals from JSON; sums must be exact all the same.
    return rows.with_columns(pl.col("amount").cast(pl.Decimal(12, 2))) if "amount" in names else rows


def time_of(column):
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us")


def write(frame, to):
    frame.write_ndjson(f"out/{to}.json")


def wordcount(number, file):
    write(counts(file).collect(engine="streaming"), number)


def running_wordcount(number, file):
    new = counts(file).collect(engine="streaming")
    if "totals" not in state:
        state["totals"] = new.clear()
    totals = state["totals"].vstack(new).group_by("word").agg(pl.sum("n"))
    state["totals"] = totals
    write(totals.join(new, on="word", how="semi"), number)


def windows(key, length, step):
    """Panes are kept until every window they are in has been written."""
    def close(number, end=None):
        panes = state["panes"]
        starts = [
            panes.with_columns((pl.col("pane") - pl.duration(microseconds=back)).alias("window_start"))
            for back in range(0, length, step)
        ] if length <= 8 * step else [panes.with_columns(
            pl.datetime_ranges(pl.col("pane") - pl.duration(microseconds=length - step), pl.col("pane"),
                               interval=f"{step}us", time_unit="us").alias("window_start")).explode("window_start")]
        ends = pl.col("window_start") + pl.duration(microseconds=length)
        due = ends > state["done"] if "done" in state else pl.lit(True)
        due = due if end is None else due & (ends <= end)
        rows = pl.concat(starts).filter(due).group_by("window_start", key).agg(pl.sum("revenue"), pl.sum("n"))
        write(rows, number)

    def batch(number, file):
        rows = orders(file, key, "amount", "ts").with_columns(time_of("ts"))
        panes = rows.group_by(pl.col("ts").dt.truncate(f"{step}us").alias("pane"), key)
        new = panes.agg(pl.sum("amount").alias("revenue"), pl.len().cast(pl.Int64).alias("n"),
                        pl.max("ts").alias("newest")).collect(engine="streaming")
        end = new["newest"].max() - pl.Series([10_000_000]).cast(pl.Duration("us"))[0]
        new = new.drop("newest")
        state["panes"] = pl.concat([state["panes"], new]) if "panes" in state else new
        close(number, end)
        state["panes"] = state["panes"].filter(pl.col("pane") + pl.duration(microseconds=length) > end)
        state["done"] = end

    return batch, close


def orders_filter(number, file):
    rows = orders(file, "order_id", "user", "category", "region", "amount", "quantity")
    rows = rows.filter((pl.col("amount") > 100) & pl.col("region").is_in(["r3", "r7"])).with_columns(
        (pl.col("amount") * pl.col("quantity")).alias("total"),
        pl.concat_str(pl.col("region").str.to_uppercase(), pl.lit("/"), "category").alias("place"),
        (pl.col("amount") >= 400).alias("big"),
    )
    write(rows.drop("quantity").collect(engine="streaming"), number)


def orders_join(number, file):
    if number == 0:
        users, blacklist = pl.read_csv("tables/users.csv"), pl.read_csv("tables/blacklist.csv")
        state["users"], state["blacklist"] = users.lazy(), blacklist.lazy()
    rows = orders(file, "user", "amount").join(state["blacklist"], on="user", how="anti")
    rows = rows.join(state["users"], on="user").group_by("country", "tier")
    rows = rows.agg(pl.sum("amount").alias("revenue"), pl.len().cast(pl.Int64).alias("n"))
    write(rows.collect(engine="streaming"), number)


def keys(keys):
    def batch(number, file):
        counts = orders(file, "order_id").group_by(pl.col("order_id") % keys).agg(pl.len().alias("n"))
        write(counts.select(pl.len().alias("keys"), pl.max("n").alias("most")).collect(engine="streaming"), number)

    return batch, None


def main(workload):
    batch, close = {
        "wordcount": (wordcount, None),
        "running-wordcount": (running_wordcount, None),
        "tiny-batches": (running_wordcount, None),
        "orders-window": windows("category", 60_000_000, 10_000_000),
        "pane-cost": windows("region", 600_000_000, 1_000_000),
        "pane-cost-tumbling": windows("region", 1_000_000, 1_000_000),
        "orders-filter": (orders_filter, None),
        "orders-join": (orders_join, None),
        "few-keys": keys(100),
        "many-keys": keys(100_000),
    }[workload]
    files = sorted(glob.glob("in/*"))
    with open("out/batches.txt", "w") as times:
        for number, file in enumerate(files):
            started = time.perf_counter()
            batch(number, file)
            times.write(f"{(time.perf_counter() - started) * 1000:.4f}\n")
    if close:
        close(len(files))


main(sys.argv[1])
