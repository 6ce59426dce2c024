-- Views of the shipped settings: each becomes the topic features.<view>. `views.file` names this file.

-- What a user did in each minute, once the minute is over.
CREATE VIEW activity_1m AS
SELECT user_id, count(*) AS events, sum(value) AS spend, count(DISTINCT item_id) AS items
FROM events GROUP BY user_id, tumble(INTERVAL '1 minute');

-- Visits: rows at most half an hour apart.
CREATE VIEW visits AS
SELECT user_id, count(*) AS events, count(DISTINCT category) AS categories
FROM events WHERE other_id IS NULL GROUP BY user_id, session(INTERVAL '30 minutes');

-- What he is doing now: many windows and a decay in one row, fresh with every transaction.
CREATE VIEW now AS
SELECT user_id,
       count(*) FILTER (WHERE age_ms < 600000) AS events_10m,
       count(*) FILTER (WHERE type = 'buy' AND age_ms < 86400000) AS buys_1d,
       sum(value * exp(-age_ms / 3600000.0)) AS spend_decayed
FROM events GROUP BY user_id, latest(64);

-- Whom he deals with: a relational event stands in both users' days.
CREATE VIEW transfers_1d AS
SELECT user_id, count(*) AS transfers, count(DISTINCT other_id) AS partners,
       sum(CASE WHEN role = 'source' THEN -value ELSE value END) AS net
FROM events WHERE other_id IS NOT NULL GROUP BY user_id, tumble(INTERVAL '1 day');

-- All he ever did.
CREATE VIEW ever AS
SELECT user_id, count(*) AS events, min(time) AS since FROM events GROUP BY user_id, lifetime();
