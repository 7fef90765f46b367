"""The workloads with Spark Structured Streaming: `spark-submit spark_stream.py WORKLOAD CORES`, a file a batch."""

import sys
import time

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

workload, cores = sys.argv[1], sys.argv[2]
spark = (
    SparkSession.builder.appName(workload)
    .config("spark.sql.shuffle.partitions", cores)
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.streaming.numRecentProgressUpdates", "1000")
    .config("spark.sql.streaming.noDataMicroBatches.enabled", "false")
    .config("spark.ui.enabled", "false")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
ORDER = "order_id long, user string, category string, region string, amount decimal(12, 2), quantity long, ts timestamp, note string"


def words():
    lines = spark.readStream.option("maxFilesPerTrigger", 1).text("in")
    return lines.select(F.explode(F.split("value", " ")).alias("word")).where("word <> ''")


def orders():
    return spark.readStream.schema(ORDER).option("maxFilesPerTrigger", 1).json("in")


def windows(key, length, step):
    over = F.window("ts", f"{length} seconds", f"{step} seconds") if step != length else F.window("ts", f"{length} seconds")
    rows = orders().withWatermark("ts", "10 seconds").groupBy(over, key)
    rows = rows.agg(F.sum("amount").alias("revenue"), F.count("*").alias("n"))
    return rows.select(F.col("window.start").alias("window_start"), key, "revenue", "n")


def filtered():
    return (
        orders().where("amount > 100 and region in ('r3', 'r7')")
        .selectExpr("order_id", "user", "category", "region", "amount", "amount * quantity as total",
                    "concat(upper(region), '/', category) as place", "amount >= 400 as big")
    )


def joined():
    tables = {name: spark.read.option("header", True).csv(f"tables/{name}.csv").cache() for name in ("users", "blacklist")}
    return orders().join(tables["blacklist"], "user", "left_anti").join(tables["users"], "user")


def keys(keys):
    count_of_keys = [F.count("*").alias("keys"), F.max("n").alias("most")]
    return orders(), "append", lambda rows: rows.groupBy(F.col("order_id") % keys).agg(count).agg(*count_of_keys)


# What a batch computes for itself is computed within foreachBatch; totals and windows are the stream's own.
def per_batch(keys, *aggregates):
    return lambda rows: rows.groupBy(*keys).agg(*aggregates)


count, revenue = F.count("*").alias("n"), F.sum("amount").alias("revenue")
stream, mode, of_batch = {
    "wordcount": lambda: (words(), "append", per_batch(["word"], count)),
    "running-wordcount": lambda: (words().groupBy("word").agg(count), "update", None),
    "tiny-batches": lambda: (words().groupBy("word").agg(count), "update", None),
    "orders-window": lambda: (windows("category", 60, 10), "append", None),
    "pane-cost": lambda: (windows("region", 600, 1), "append", None),
    "pane-cost-tumbling": lambda: (windows("region", 1, 1), "append", None),
    "orders-filter": lambda: (filtered(), "append", None),
    "few-keys": lambda: keys(100),
    "many-keys": lambda: keys(100_000),
    "orders-join": lambda: (joined(), "append", per_batch(["country", "tier"], revenue, count)),
}[workload]()


def write(rows, number):
    rows = of_batch(rows) if of_batch else rows
    rows.write.json(f"out/{number:04}")


query = (
    stream.writeStream.foreachBatch(write).outputMode(mode).option("checkpointLocation", "checkpoint")
    .trigger(availableNow=True).start()
)
query.awaitTermination()
with open("out/batches.txt", "w") as times:
    for batch in query.recentProgress:
        if batch["numInputRows"] > 0:
            times.write(f"{batch['durationMs']['triggerExecution']}\n")
spark.stop()
