CREATE TABLE orders (
  order_id BIGINT, `user` STRING, category STRING, region STRING, amount DECIMAL(12, 2), quantity BIGINT,
  ts TIMESTAMP_LTZ(3), note STRING,
  -- Flink reads files in an order of its own: with the ten seconds of the others most rows would be late.
  WATERMARK FOR ts AS ts - INTERVAL '1' DAY
) WITH ('connector' = 'filesystem', 'path' = 'file://$HERE/in', 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601');

CREATE TABLE revenue (window_start TIMESTAMP(3), region STRING, revenue DECIMAL(38, 2), n BIGINT)
WITH ('connector' = 'filesystem', 'path' = 'file://$HERE/out', 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601');

INSERT INTO revenue
SELECT window_start, region, SUM(amount), COUNT(*)
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' SECOND))
GROUP BY window_start, window_end, region;
