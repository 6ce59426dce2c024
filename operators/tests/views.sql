CREATE VIEW clicks_1m AS
SELECT user_id, count(*) AS clicks, sum(value) AS spend, min(time) AS first_time, count(DISTINCT item_id) AS items
FROM events WHERE type = 'click' GROUP BY user_id, tumble(INTERVAL '1 minute');

CREATE VIEW activity_hop AS
SELECT user_id, count(*) AS n, avg(value) AS mean_value
FROM events GROUP BY user_id, hop(INTERVAL '5 minutes', INTERVAL '15 minutes');

CREATE VIEW visits AS
SELECT user_id, count(*) AS n, max(value) AS top, count(DISTINCT type) AS kinds
FROM events WHERE other_id IS NULL GROUP BY user_id, session(INTERVAL '3 minutes');

CREATE VIEW last_hour AS
SELECT user_id, count(*) AS n, sum(value) AS total, stddev_pop(value) AS spread
FROM events GROUP BY user_id, rolling(INTERVAL '10 minutes');

CREATE VIEW last_five AS
SELECT user_id, count(*) AS n, sum(value) AS total, max(time) AS newest
FROM events GROUP BY user_id, latest(5);

CREATE VIEW transfers_1d AS
SELECT user_id, count(*) AS n, sum(CASE WHEN role = 'source' THEN -value ELSE value END) AS net,
       count(DISTINCT other_id) AS partners
FROM events WHERE other_id IS NOT NULL GROUP BY user_id, tumble(INTERVAL '1 day') HAVING count(*) >= 2;

CREATE VIEW now_row AS
SELECT user_id, count(*) FILTER (WHERE age_ms < 60000) AS n_1m,
       count(*) FILTER (WHERE age_ms < 600000 AND type = 'buy') AS buys,
       sum(value * exp(-age_ms / 3600000.0)) AS recent, count(DISTINCT category) AS categories
FROM events GROUP BY user_id, latest(8);

CREATE VIEW ever AS
SELECT user_id, count(*) AS n, sum(value) AS total, min(time) AS since FROM events GROUP BY user_id, lifetime();

CREATE VIEW by_type_1h AS
SELECT user_id, type, count(*) AS n FROM events GROUP BY user_id, type, tumble(INTERVAL '1 hour');

-- Windows with gaps between them, and an aggregate that looks at the order of rows.
CREATE VIEW gaps AS
SELECT user_id, array_agg(time ORDER BY time) AS times
FROM events GROUP BY user_id, hop(INTERVAL '5 minutes', INTERVAL '2 minutes');

CREATE VIEW visits_by_type AS
SELECT user_id, type, count(*) AS n, sum(value) AS total
FROM events GROUP BY user_id, type, session(INTERVAL '2 minutes');

CREATE VIEW by_category AS
SELECT user_id, category, count(*) AS n FROM events GROUP BY user_id, category, rolling(INTERVAL '5 minutes');

CREATE VIEW rich AS
SELECT user_id, sum(value) AS total FROM events WHERE type <> 'view'
GROUP BY user_id, latest(3) HAVING sum(value) > 1;

CREATE VIEW young AS
SELECT user_id, count(*) AS n, sum(value) AS total FROM events WHERE age_ms < 60000 GROUP BY user_id, latest(3);

CREATE VIEW ever_by_category AS
SELECT user_id, category, count(*) AS n FROM events GROUP BY user_id, category, lifetime() HAVING count(*) >= 2;
