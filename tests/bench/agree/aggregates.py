"""Queries that compute something of several rows."""

from dataclasses import replace

from query import Query, columns

NO_ROWS = "an aggregate without a key gives a row for an empty batch only where it can be said of no rows"
EMPTY_LIST = "of no values the list is empty, as in Spark"

# What of no rows differs: results that cannot be null, lists, and counts.
OF_NOTHING = {
    **dict.fromkeys(
        ("sum(n)", "sum(m)", "avg(n)", "min(m)", "max(m)", "min(ts)", "max(ts)", "sum(distinct n)", "bool_and(b)",
         "bool_or(b)", "bit_and(n)", "bit_or(n)", "bit_xor(n)", "first(n)", "last(n)", "min_by(ts, m)"),
        NO_ROWS,
    ),
    **dict.fromkeys(
        ("collect_list(n order by n desc)",), EMPTY_LIST,
    ),
    "count_if(b)": "the count of nothing is 0",
}

PLAIN = columns(
    ("count()", "count(*)"),
    ("count(x)", "count(x)"),
    ("sum(n)", "sum(n)"),
    ("sum(m)", "sum(m)"),
    ("sum(x)", "sum(x)"),
    ("avg(n)", "avg(n)"),
    ("avg(x)", "avg(x)"),
    ("min(x)", "min(x)"), ("max(x)", "max(x)"),
    ("min(m)", "min(m)"), ("max(m)", "max(m)"),
    ("min(w)", "min(w)"), ("max(w)", "max(w)"),
    ("min(ts)", "min(ts)"), ("max(ts)", "max(ts)"),
    ("count(distinct w)", "count(distinct w)"),
    ("count(distinct n)", "count(distinct n)"),
    ("count(distinct m)", "count(distinct m)"),
    ("sum(distinct n)", "sum(distinct n)"),
    ("sum(n) filter (where b)", "sum(n) filter (where b)"),
    ("count() filter (where x > 0.0::float64)", "count(*) filter (where x > 0)"),
    ("count_if(b)", "count_if(b)"),
    ("bool_and(b)", "bool_and(b)"), ("bool_or(b)", "bool_or(b)"),
    ("bit_and(n)", "bit_and(n)"), ("bit_or(n)", "bit_or(n)"), ("bit_xor(n)", "bit_xor(n)"),
    ("first(n)", "first(n)"), ("last(n)", "last(n)"),
    ("first(w)", "first(w)"),
    ("max_by(n, x)", "max_by(n, x)"), ("min_by(ts, m)", "min_by(ts, m)"),
    ("array_length(collect_list(w))", "len(coalesce(list(w) filter (where w is not null), []))"),
    ("array_sort(collect_set(w)) ?? []", "coalesce(list_sort(list(distinct w) filter (where w is not null)), [])"),
    ("string_agg(w, \",\")", "string_agg(w, ',')"),
    ("collect_list(n order by n desc)", "list(n order by n desc)"),
)

# Without rows there is no result, unless all of them can be said of nothing.
NOTHING = tuple(replace(c, why=OF_NOTHING.get(c.ours, "")) for c in PLAIN)

STATISTICS = columns(
    ("stddev(x)", "stddev_samp(x)"), ("stddev_pop(x)", "stddev_pop(x)"),
    ("var(n)", "var_samp(n)"), ("var_pop(x)", "var_pop(x)"),
    ("var(m)", "var_samp(m)"),
    ("corr(y, x)", "corr(y, x)"),
    ("covar_samp(y, x)", "covar_samp(y, x)"), ("covar_pop(y, x)", "covar_pop(y, x)"),
    ("regr_slope(y, x)", "regr_slope(y, x)"), ("regr_intercept(y, x)", "regr_intercept(y, x)"),
    ("regr_count(y, x)", "regr_count(y, x)"), ("regr_r2(y, x)", "regr_r2(y, x)"),
    ("regr_avgx(y, x)", "regr_avgx(y, x)"), ("regr_sxx(y, x)", "regr_sxx(y, x)"), ("regr_sxy(y, x)", "regr_sxy(y, x)"),
    ("median(x)", "median(x)"),
    ("median(n)", "median(n)"),
    ("percentile_cont(x, 0.25)", "quantile_cont(x, 0.25)"),
    ("percentile_cont(x, 0.99)", "quantile_cont(x, 0.99)"),
    ("percentile_cont(n, 0.5)", "quantile_cont(n, 0.5)"),
    ("percentile_cont(x, 0.0)", "quantile_cont(x, 0.0)"), ("percentile_cont(x, 1.0)", "quantile_cont(x, 1.0)"),
)

ONE_POINT = tuple(
    replace(c, why="null where there is one point, as in PostgreSQL") if c.ours in ("corr(y, x)", "regr_slope(y, x)") else c
    for c in STATISTICS
)

ODD = columns(
    ("count()", "count(*)"),
    ("count(f)", "count(f)"),
    ("sum(i) filter (where id < 10)", "sum(i) filter (where id < 10)"),
    ("sum(d)", "sum(d)"), ("avg(d)", "round(avg(d), 7)"),
    ("sum(e)", "sum(e)"), ("avg(e)", "round(avg(e), 6)"),
    ("min(f) + 0.0::float64", "min(f) + 0.0"), ("max(f)", "max(f)"),
    ("sum(f)", "sum(f)"), ("avg(f)", "avg(f)"),
    ("count(distinct f)", "count(distinct f)"),
    ("min(d)", "min(d)"), ("max(e)", "max(e)"),
    ("min(k)", "min(k)"),
    ("var(e)", "var_samp(e)"), ("stddev(g)", "stddev_samp(g)"),
    ("median(e)", "median(e)"),
    ("first(j)", "first(j)"), ("last(j)", "last(j)"),
    ("sum(j) * 2 ?? null", "sum(j * 2)"),
    ("sum(j) * 2 + count() ?? null", "sum(j) * 2 + count(*)"),
    ("max_by(id, f)", "max_by(id, f)"), ("min_by(id, f)", "min_by(id, f)"),
    ("bit_xor(j)", "bit_xor(j)"),
    ("array_agg(j)", "list(j)"), ("collect_list(j)", "coalesce(list(j) filter (where j is not null), [])"),
    ("avg(i) filter (where i between -100 and 100)", "avg(i) filter (where i between -100 and 100)"),
)


def queries():
    return [
        Query("by key", "pairs", PLAIN, key="k", group=True),
        Query("of all", "pairs", PLAIN, key="", group=True),
        Query("by a key that is null", "pairs", PLAIN, key="w", group=True),
        Query("by two keys", "pairs", PLAIN[:8], key='concat(k, ":", id % 2)', their_key="concat(k, ':', id % 2)", group=True),
        Query("by a condition", "pairs", PLAIN[:6], key="b", group=True),
        Query("statistics by key", "pairs", STATISTICS, key="k", group=True),
        Query("statistics of all", "pairs", STATISTICS, key="", group=True),
        Query("statistics of one", "pairs", ONE_POINT, key="id", before="where id <= 3", where="id <= 3", group=True),
        Query("of nothing", "pairs", NOTHING, key="", before="where id < 0", where="id < 0", group=True),
        Query("odd values by key", "numbers", ODD, key="k", group=True),
        Query("odd values of all", "numbers", ODD, key="", group=True),
        Query("by a float", "numbers", columns(("count()", "count(*)"), ("min(id)", "min(id)")), key="f", group=True),
        Query("by a decimal", "numbers", columns(("count()", "count(*)"), ("min(id)", "min(id)")), key="e", group=True),
        Query("by a text", "texts", columns(("count()", "count(*)"), ("min(s)", "min(s)"), ("max(s)", "max(s)")), key="t", group=True),
        Query("filtered", "numbers", PLAIN[:1], key="", before="where f > 0.0::float64", where="f > 0", group=True),
        Query("filtered by a null", "numbers", PLAIN[:1], key="", before="where not (i > j)", where="not (i > j)", group=True),
        Query("filtered by NaN", "numbers", PLAIN[:1], key="", before="where f >= f", where="f >= f", group=True),
    ]
