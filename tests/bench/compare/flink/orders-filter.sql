CREATE TABLE orders (
  order_id BIGINT, `user` STRING, category STRING, region STRING, amount DECIMAL(12, 2), quantity BIGINT,
  ts TIMESTAMP_LTZ(3), note STRING
) WITH ('connector' = 'filesystem', 'path' = 'file://$HERE/in', 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601');

CREATE TABLE chosen (
  order_id BIGINT, `user` STRING, category STRING, region STRING, amount DECIMAL(12, 2), total DECIMAL(32, 2),
  place STRING, big BOOLEAN
) WITH ('connector' = 'filesystem', 'path' = 'file://$HERE/out', 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601');

INSERT INTO chosen
SELECT order_id, `user`, category, region, amount, amount * quantity, UPPER(region) || '/' || category, amount >= 400
FROM orders
WHERE amount > 100 AND region IN ('r3', 'r7');
