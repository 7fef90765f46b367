"""Nexmark with Millstream and DuckDB over the same events, results compared row by row.

`nexmark.py --millstream FILE --events DIR --results DIR [--runs N] [--cores N] [--format json|arrow] [QUERY...]`

Millstream reads a file a batch; DuckDB, which has no streams, answers each query once over all files. What Millstream
tells as changes is put together before it is compared. Figures are milliseconds for all events, medians, the files of
the result included; the first batch counts.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time

import duckdb

HOME = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "nexmark")
FIELDS = {
    "person": "id BIGINT, name VARCHAR, email_address VARCHAR, credit_card VARCHAR, city VARCHAR, state VARCHAR, extra VARCHAR",
    "auction": "id BIGINT, item_name VARCHAR, description VARCHAR, initial_bid BIGINT, reserve BIGINT, expires TIMESTAMP, "
               "seller BIGINT, category BIGINT, extra VARCHAR",
    "bid": "auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, extra VARCHAR",
}
WINNING = """SELECT max(price) AS final, arg_max(bidder, price) AS bidder, arg_max(b.date_time, price) AS date_time,
                    a.id AS id, seller, category, item_name, expires
             FROM auction a JOIN bid b ON a.id = b.auction AND b.date_time BETWEEN a.date_time AND a.expires
             GROUP BY a.id, seller, category, item_name, expires"""
RANKS = """count(*) AS total_bids, count(*) FILTER (price < 10000) AS rank1_bids,
           count(*) FILTER (price >= 10000 AND price < 1000000) AS rank2_bids, count(*) FILTER (price >= 1000000) AS rank3_bids"""
PEOPLE = """count(DISTINCT bidder) AS total_bidders, count(DISTINCT bidder) FILTER (price < 10000) AS rank1_bidders,
            count(DISTINCT auction) AS total_auctions, count(DISTINCT auction) FILTER (price >= 1000000) AS rank3_auctions"""
DAY = "strftime(date_time, '%Y-%m-%d') AS day"

# A query, and what of it is compared where not every column can be.
QUERIES = {
    "q0": ("SELECT auction, bidder, price, date_time, extra FROM bid", None),
    "q1": ("SELECT auction, bidder, 0.908 * price AS price, date_time, extra FROM bid", None),
    "q2": ("SELECT auction, price FROM bid WHERE auction % 123 = 0", None),
    "q3": ("""SELECT name, city, state, a.id AS id FROM auction a JOIN person p ON a.seller = p.id
              WHERE category = 10 AND state IN ('OR', 'ID', 'CA')""", None),
    "q4": (f"SELECT category, avg(final) AS final FROM ({WINNING}) GROUP BY category", None),
    "q5": ("""WITH counts AS (SELECT start + INTERVAL 10 SECONDS AS until, auction, count(*) AS num
                              FROM (SELECT auction, unnest(generate_series(time_bucket(INTERVAL 2 SECONDS, date_time) - INTERVAL 8 SECONDS,
                                    time_bucket(INTERVAL 2 SECONDS, date_time), INTERVAL 2 SECONDS)) AS start FROM bid) GROUP BY ALL)
              SELECT until, auction, num FROM counts QUALIFY num = max(num) OVER (PARTITION BY until)""", None),
    # In which order auctions end within a batch is not the same here and there, which shows for sellers of more than ten.
    "q6": (f"SELECT seller, count(*) AS n, avg(final) AS final FROM ({WINNING}) GROUP BY seller HAVING count(*) <= 10",
           "SELECT seller, count(*) AS n, last(final) AS final FROM rows GROUP BY seller HAVING count(*) <= 10"),
    "q7": ("""SELECT auction, price, bidder, date_time, extra FROM bid
              QUALIFY price = max(price) OVER (PARTITION BY time_bucket(INTERVAL 10 SECONDS, date_time))""", None),
    "q8": ("""SELECT DISTINCT p.id AS id, name, time_bucket(INTERVAL 10 SECONDS, p.date_time) AS since FROM person p JOIN auction a
              ON p.id = a.seller AND time_bucket(INTERVAL 10 SECONDS, p.date_time) = time_bucket(INTERVAL 10 SECONDS, a.date_time)""", None),
    "q9": (f"SELECT id, item_name, seller, category, expires, final AS price, bidder, date_time FROM ({WINNING})", None),
    "q10": ("SELECT auction, bidder, price, date_time, extra FROM bid", "SELECT auction, bidder, price, date_time, extra FROM rows"),
    "q11": ("""SELECT bidder, count(*) AS bid_count, min(date_time) AS window_start, max(date_time) + INTERVAL 10 SECONDS AS window_end
               FROM (SELECT *, sum(new) OVER (PARTITION BY bidder ORDER BY date_time, new DESC ROWS UNBOUNDED PRECEDING) AS session
                     FROM (SELECT *, (date_time - lag(date_time) OVER w > INTERVAL 10 SECONDS)::INT AS new FROM bid
                           WINDOW w AS (PARTITION BY bidder ORDER BY date_time)))
               GROUP BY bidder, coalesce(session, 0)""", None),
    # Which window a bid is in depends on the clock.
    "q12": ("SELECT bidder, count(*) AS n FROM bid GROUP BY bidder", "SELECT bidder, sum(bid_count) AS n FROM rows GROUP BY bidder"),
    "q13": ("SELECT auction, bidder, price, date_time, value FROM bid JOIN side_input ON auction % 10000 = key", None),
    "q14": ("""SELECT auction, bidder, 0.908 * price AS price,
                      CASE WHEN hour(date_time) BETWEEN 8 AND 18 THEN 'dayTime'
                           WHEN hour(date_time) <= 6 OR hour(date_time) >= 20 THEN 'nightTime' ELSE 'otherTime' END AS bid_time_type,
                      date_time, extra, length(extra) - length(replace(extra, 'c', '')) AS c_counts
               FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000""", None),
    "q15": (f"SELECT {DAY}, {RANKS}, {PEOPLE} FROM bid GROUP BY day", None),
    "q16": (f"SELECT channel, {DAY}, max(strftime(date_time, '%H:%M')) AS minute, {RANKS}, {PEOPLE} FROM bid GROUP BY channel, day", None),
    "q17": (f"""SELECT auction, {DAY}, {RANKS}, min(price) AS min_price, max(price) AS max_price, avg(price) AS avg_price,
                       sum(price) AS sum_price FROM bid GROUP BY auction, day""", None),
    # Of several at the same moment any may be the last.
    "q18": ("SELECT bidder, auction, max(date_time) AS date_time FROM bid GROUP BY bidder, auction",
            "SELECT bidder, auction, date_time FROM rows"),
    # Of several at the same price any may come first.
    "q19": ("""SELECT auction, row_number() OVER w AS rank, price FROM bid
               WINDOW w AS (PARTITION BY auction ORDER BY price DESC) QUALIFY rank <= 10""",
            "SELECT auction, rank, price FROM rows"),
    "q20": ("""SELECT auction, bidder, price, channel, url, b.date_time AS date_time, item_name, seller, expires
               FROM bid b JOIN auction a ON b.auction = a.id WHERE category = 10""", None),
    "q21": ("""SELECT auction, bidder, price, channel, channel_id FROM (
                 SELECT *, CASE lower(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3'
                           ELSE nullif(regexp_extract(url, '(&|^)channel_id=([^&]*)', 2), '') END AS channel_id FROM bid)
               WHERE channel_id IS NOT NULL""", None),
    "q22": ("""SELECT auction, bidder, price, channel, split_part(url, '/', 4) AS dir1, split_part(url, '/', 5) AS dir2,
                      split_part(url, '/', 6) AS dir3 FROM bid""", None),
}


def main():
    args = arguments()
    os.makedirs(args.results, exist_ok=True)
    files = sorted(name for name in os.listdir(args.events) if not name.startswith("."))
    events = sum(sum(1 for _ in open(os.path.join(args.events, name), "rb")) for name in files)
    given = args.events if args.format == "json" else as_arrow(args)
    con = duckdb.connect()
    con.execute(f"SET threads = {args.cores}")
    con.execute("SET TimeZone = 'UTC'")
    define(con, args.events)
    print(f"{events} events in {len(files)} files, {args.cores} cores, Millstream from {args.format}, DuckDB from json\n")
    print(f"{'':<5} {'millstream ms':>14} {'events/s':>10} {'CPU s':>7} {'duckdb ms':>10} {'rows':>9}  result")
    figures, wrong = [], []
    for name in args.queries or QUERIES:
        try:
            figure = one(con, name, given, events, args)
        except subprocess.CalledProcessError as error:
            figure = {"query": name, "equal": False, "why": (error.stderr or "").strip().splitlines()[-1:]}
        figures.append(figure)
        if not figure["equal"]:
            wrong.append(name)
        if "millstream_ms" in figure:
            print(f"{name:<5} {figure['millstream_ms']:>14.1f} {figure['events_per_second']:>10.0f} {figure['cpu_seconds']:>7.2f} "
                  f"{figure['duckdb_ms']:>10.1f} {figure['rows']:>9}  {'equal' if figure['equal'] else figure['why']}", flush=True)
        else:
            print(f"{name:<5} {figure['why']}", flush=True)
    with open(os.path.join(args.results, f"nexmark-{args.format}.json"), "w") as out:
        json.dump({"events": events, "cores": args.cores, "format": args.format, "runs": args.runs, "queries": figures}, out, indent=2)
    sys.exit(1 if wrong else 0)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--millstream", required=True)
    parser.add_argument("--events", required=True, help="a folder with events as NDJSON, tables in `../tables`")
    parser.add_argument("--results", required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--format", choices=["json", "arrow"], default="json")
    parser.add_argument("queries", nargs="*", metavar="QUERY")
    args = parser.parse_args()
    args.events, args.results = os.path.abspath(args.events), os.path.abspath(args.results)
    return args


def define(con, events):
    """Views, so that a query parses the files anew each time, as Millstream does."""
    for kind, fields in FIELDS.items():
        names = ", ".join(f"{kind}.{field.split()[0]}" for field in fields.split(", "))
        con.execute(f"""CREATE OR REPLACE VIEW {kind} AS SELECT {names}, date_time FROM read_json('{events}/*.json', format = 'newline_delimited',
                        columns = {{'date_time': 'TIMESTAMP', '{kind}': 'STRUCT({fields})'}}) WHERE {kind} IS NOT NULL""")
    con.execute(f"CREATE OR REPLACE TABLE side_input AS FROM read_csv('{events}/../tables/side_input.csv', header = true)")


def prepared(args, name, given):
    folder = os.path.join(args.results, f"nexmark-{name}")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    os.symlink(given, os.path.join(folder, "in"))
    os.symlink(os.path.join(args.events, "..", "tables"), os.path.join(folder, "tables"))
    for file in (f"{name}.stream", "events.stream"):
        text = open(os.path.join(HOME, file)).read()
        if args.format == "arrow" and name != "to_arrow":
            text = text.replace("format: json,\n  schema: Event", "format: arrow,\n  schema: Event")
        open(os.path.join(folder, file), "w").write(text)
    return folder


def run(args, folder, name):
    """Milliseconds of all batches with rows, and seconds of processors."""
    line = [args.millstream, "run", f"{name}.stream", "--once", "--threads", str(args.cores), "--progress", "progress.txt"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(os.path.join(folder, "stdout.json"), "w") as out:
        subprocess.run(line, cwd=folder, stdout=out, stderr=subprocess.PIPE, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    batches = [json.loads(row) for row in open(os.path.join(folder, "progress.txt"))]
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return sum(batch["batchDuration"] for batch in batches), cpu


def as_arrow(args):
    folder = prepared(args, "to_arrow", args.events)
    run(args, folder, "to_arrow")
    return os.path.join(folder, "out")


def one(con, name, given, events, args):
    query, compared = QUERIES[name]
    ours, cpu, theirs = [], [], []
    for _ in range(args.runs):
        folder = prepared(args, name, given)
        took, used = run(args, folder, name)
        ours.append(took)
        cpu.append(used)
        started = time.perf_counter()
        con.execute(f"COPY ({query}) TO '{folder}/duckdb.json' (FORMAT json)")
        theirs.append((time.perf_counter() - started) * 1000)
    rows, why = differs(con, query, compared, folder)
    took = statistics.median(ours)
    return {
        "query": name, "millstream_ms": took, "events_per_second": events / took * 1000, "cpu_seconds": statistics.median(cpu),
        "duckdb_ms": statistics.median(theirs), "rows": rows, "equal": why is None, "why": why,
    }


def differs(con, query, compared, folder):
    """How many rows are compared, and what is wrong with them."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE expected AS {query}")
    columns = [(column, kind) for column, kind, *_ in con.execute("DESCRIBE expected").fetchall()]
    printed = os.path.join(folder, "stdout.json")
    changes = os.path.getsize(printed) > 0
    if changes:
        # The console has lines between batches.
        with open(printed) as lines, open(os.path.join(folder, "changes.json"), "w") as out:
            out.writelines(line for line in lines if line.startswith("{"))
        files = f"'{folder}/changes.json'"
    else:
        files = f"'{folder}/out/**/*.json'"
    read = f"read_json({files}, format = 'newline_delimited', sample_size = -1"
    found = con.execute(f"DESCRIBE FROM {read})").fetchall()
    # What looks like a time and is text stays text.
    types = {column: dict(columns).get(column, kind) for column, kind, *_ in found}
    types = ", ".join(f"{column}: '{types[column] if types[column] == 'VARCHAR' else kind}'" for column, kind, *_ in found)
    con.execute(f"CREATE OR REPLACE TEMP TABLE rows AS FROM {read}, columns = {{{types}}})")
    if changes:
        con.execute(f"""CREATE OR REPLACE TEMP TABLE rows AS SELECT * EXCLUDE (op) FROM (
                        SELECT * FROM rows WHERE op = '+' EXCEPT ALL SELECT * REPLACE ('+' AS op) FROM rows WHERE op = '-')""")

    # Means and prices are compared to three digits behind the point.
    def cell(column, kind):
        number = kind.startswith(("DECIMAL", "DOUBLE", "FLOAT"))
        return f"round({column}::DOUBLE, 3) AS {column}" if number else f"{column}::{'BIGINT' if kind == 'HUGEINT' else kind} AS {column}"

    cells = ", ".join(cell(column, kind) for column, kind in columns)
    found = f"SELECT {cells} FROM ({compared or 'SELECT * FROM rows'})"
    expected = f"SELECT {cells} FROM expected"
    missing = con.execute(f"SELECT count(*) FROM ({expected} EXCEPT ALL {found})").fetchone()[0]
    beside = con.execute(f"SELECT count(*) FROM ({found} EXCEPT ALL {expected})").fetchone()[0]
    (count,) = con.execute("SELECT count(*) FROM expected").fetchone()
    if missing or beside or count == 0:
        return count, f"{missing} rows are missing, {beside} others came; see {folder}"
    return count, None


main()
