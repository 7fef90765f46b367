"""The workloads with DuckDB, in a loop over the files: `duckdb_loop.py WORKLOAD CORES`, in a folder with `in`, `tables` and `out`."""

import glob
import sys
import time

import duckdb

WORDS = """(SELECT unnest(string_split(line, ' ')) AS word
            FROM read_csv('{file}', columns = {{'line': 'VARCHAR'}}, delim = '\\x01', quote = '', escape = '',
                          header = false, auto_detect = false))"""
# Only the columns that a query reads are named: DuckDB leaves out the others while it parses.
ORDERS = """read_json('{file}', format = 'newline_delimited', columns = {{{columns}}})"""
COLUMNS = {
    "order_id": "BIGINT", "user": "VARCHAR", "category": "VARCHAR", "region": "VARCHAR",
    "amount": "DECIMAL(12, 2)", "quantity": "BIGINT", "ts": "TIMESTAMP",
}

con = duckdb.connect()


def orders(file, *names):
    columns = ", ".join(f"'{name}': '{COLUMNS[name]}'" for name in names)
    return ORDERS.format(file=file, columns=columns)


def copy(query, to):
    con.execute(f"COPY ({query}) TO 'out/{to}.json' (FORMAT json, TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%S.%fZ')")


def wordcount(number, file):
    copy(f"SELECT word, count(*) AS n FROM {WORDS.format(file=file)} WHERE word <> '' GROUP BY word", number)


def running_wordcount(number, file):
    if number == 0:
        con.execute("CREATE TABLE totals (word VARCHAR PRIMARY KEY, n BIGINT)")
    con.execute(f"""CREATE OR REPLACE TEMP TABLE counts AS
                    SELECT word, count(*) AS n FROM {WORDS.format(file=file)} WHERE word <> '' GROUP BY word""")
    con.execute("INSERT INTO totals FROM counts ON CONFLICT DO UPDATE SET n = n + excluded.n")
    copy("SELECT totals.* FROM totals SEMI JOIN counts USING (word)", number)


def windows(key, length, step):
    """Panes are kept until every window they are in has been written."""
    def closed(end):
        return f"""SELECT make_timestamp(start) AS window_start, {key}, sum(revenue) AS revenue, sum(n)::BIGINT AS n
                   FROM (SELECT {key}, revenue, n, unnest(range(pane - {length - step}, pane + 1, {step})) AS start FROM panes)
                   WHERE start + {length} > (SELECT done FROM mark) AND start + {length} <= {end} GROUP BY ALL"""

    def forget(end):
        con.execute(f"DELETE FROM panes WHERE pane + {length} <= {end}")
        con.execute(f"UPDATE mark SET done = {end}")

    def batch(number, file):
        if number == 0:
            con.execute(f"CREATE TABLE panes (pane BIGINT, {key} VARCHAR, revenue DECIMAL(38, 2), n BIGINT)")
            con.execute("CREATE TABLE mark AS SELECT 0::BIGINT AS done")
        con.execute(f"""CREATE OR REPLACE TEMP TABLE new AS
                        SELECT epoch_us(ts) // {step} * {step} AS pane, {key}, sum(amount) AS revenue, count(*) AS n, max(epoch_us(ts)) AS newest
                        FROM {orders(file, key, 'amount', 'ts')} GROUP BY ALL""")
        con.execute("INSERT INTO panes SELECT pane, * EXCLUDE (pane, newest) FROM new")
        (end,) = con.execute("SELECT max(newest) - 10000000 FROM new").fetchone()
        copy(closed(end), number)
        forget(end)

    def close(number):
        copy(closed(2**60), number)

    return batch, close


def orders_filter(number, file):
    copy(f"""SELECT order_id, user, category, region, amount, amount * quantity AS total,
                    upper(region) || '/' || category AS place, amount >= 400 AS big
             FROM {orders(file, 'order_id', 'user', 'category', 'region', 'amount', 'quantity')}
             WHERE amount > 100 AND region IN ('r3', 'r7')""", number)


def orders_join(number, file):
    if number == 0:
        for table in ("users", "blacklist"):
            con.execute(f"CREATE TABLE {table} AS FROM read_csv('tables/{table}.csv', header = true)")
    copy(f"""SELECT country, tier, sum(amount) AS revenue, count(*) AS n
             FROM {orders(file, 'user', 'amount')} ANTI JOIN blacklist USING (user) JOIN users USING (user)
             GROUP BY ALL""", number)


def keys(keys):
    def batch(number, file):
        copy(f"""SELECT count(*) AS keys, max(n) AS most FROM
                 (SELECT count(*) AS n FROM {orders(file, 'order_id')} GROUP BY order_id % {keys})""", number)

    return batch, None


def main(workload, cores):
    con.execute(f"SET threads = {cores}")
    con.execute("SET preserve_insertion_order = false")
    con.execute("SET TimeZone = 'UTC'")
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


main(sys.argv[1], sys.argv[2])
