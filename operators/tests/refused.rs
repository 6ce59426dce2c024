//! What a views file may not hold, and what the message says.

use schemas::event::EventColumns;

use crate::Views;

fn refusal(sql: &str) -> String {
    let views = Views::compile(sql, &EventColumns::default());
    views.map_or_else(|error| error.to_string(), |_| "nothing".into())
}

#[test]
fn every_refusal_names_the_view_and_the_thing() {
    let t = "tumble(INTERVAL '1 minute')";
    let cases = [
        ("SELECT e.user_id FROM events, events AS e GROUP BY e.user_id, tumble(INTERVAL '1 minute')", "join"),
        ("SELECT a.user_id FROM events a JOIN events b ON a.user_id = b.user_id GROUP BY a.user_id, latest(1)", "join"),
        ("SELECT user_id, count(*) AS n FROM (SELECT * FROM events) x GROUP BY user_id, latest(1)", "query inside"),
        ("SELECT user_id, count(*) AS n FROM events WHERE value > (SELECT 1) GROUP BY user_id, latest(1)", "subquery"),
        ("SELECT user_id, count(*) AS n FROM events GROUP BY user_id, latest(1) ORDER BY n", "ORDER BY"),
        ("SELECT user_id, count(*) AS n FROM events GROUP BY user_id, latest(1) LIMIT 3", "LIMIT"),
        ("SELECT DISTINCT user_id, count(*) AS n FROM events GROUP BY user_id, latest(1)", "DISTINCT"),
        ("SELECT user_id FROM events GROUP BY user_id, latest(1) UNION ALL SELECT user_id FROM events", "UNION"),
        ("SELECT user_id, sum(count(*)) OVER () AS n FROM events GROUP BY user_id, latest(1)", "OVER"),
        ("SELECT user_id, count(*) AS n FROM events GROUP BY user_id", "no window"),
        ("SELECT user_id FROM events", "no GROUP BY"),
        ("SELECT user_id, count(*) AS n FROM events GROUP BY user_id, latest(1), lifetime()", "more than one window"),
        ("SELECT user_id, count(*) AS n FROM events GROUP BY user_id, abs(latest(1))", "inside another"),
        ("SELECT user_id, sum(latest(1)) AS n FROM events GROUP BY user_id, latest(1)", "inside another"),
        ("SELECT count(*) AS n FROM events GROUP BY latest(1)", "user_id"),
        ("SELECT user_id, count(*) FILTER (WHERE now() > now()) AS n FROM events GROUP BY user_id, latest(1)", "now()"),
        ("SELECT user_id, sum(random()) AS n FROM events GROUP BY user_id, latest(1)", "random()"),
        (
            "SELECT user_id, count(*) AS n FROM events WHERE current_date() > '2020-01-01' GROUP BY user_id, latest(1)",
            "current_date()",
        ),
        ("SELECT user_id, count(*) AS n FROM events GROUP BY user_id, tumble(INTERVAL '1 month')", "months"),
        ("SELECT user_id, count(*) AS n FROM events GROUP BY user_id, rolling(INTERVAL '1 year')", "months"),
        ("SELECT user_id, count(*) AS n FROM events GROUP BY user_id, tumble(INTERVAL '0 minutes')", "more than zero"),
        ("SELECT user_id, count(*) AS n FROM events GROUP BY user_id, session(INTERVAL '-1 minute')", "more than zero"),
        (
            "SELECT user_id, count(*) AS n FROM events GROUP BY user_id, tumble(INTERVAL '10 microseconds')",
            "milliseconds",
        ),
        ("SELECT user_id, count(*) AS n FROM events GROUP BY user_id, tumble(60000)", "interval"),
        ("SELECT user_id, count(*) AS n FROM events GROUP BY user_id, latest(0)", "1 or more"),
        ("SELECT user_id, count(*) AS n FROM events GROUP BY user_id, latest(value)", "not a constant"),
        ("SELECT user_id, array_agg(value) AS n FROM events GROUP BY user_id, latest(3)", "ORDER BY time"),
        ("SELECT user_id, last_value(value) AS n FROM events GROUP BY user_id, latest(3)", "ORDER BY time"),
        (
            "SELECT user_id, string_agg(type, ',' ORDER BY value) FROM events GROUP BY user_id, latest(3)",
            "ORDER BY time",
        ),
        (
            "SELECT user_id, approx_percentile_cont(value, 0.5) AS n FROM events GROUP BY user_id, latest(3)",
            "approx_percentile_cont",
        ),
        ("SELECT user_id, approx_median(value) AS n FROM events GROUP BY user_id, latest(3)", "approx_median"),
        (&format!("SELECT user_id, sum(age_ms) AS n FROM events GROUP BY user_id, {t}"), "age_ms"),
        ("SELECT user_id, sum(age_ms) AS n FROM events GROUP BY user_id, lifetime()", "age_ms"),
        ("SELECT user_id, sum(valeu) AS n FROM events GROUP BY user_id, latest(3)", "valeu"),
        ("SELECT user_id, sum(value) AS n FROM evens GROUP BY user_id, latest(3)", "evens"),
        (
            "SELECT user_id, type FROM events GROUP BY GROUPING SETS ((user_id, type), (user_id)), latest(3)",
            "GROUPING SETS",
        ),
        ("SELECT user_id, max(time) AS time FROM events GROUP BY user_id, latest(3)", "column named time"),
        (
            &format!("SELECT user_id, max(time) AS window_end FROM events GROUP BY user_id, {t}"),
            "column named window_end",
        ),
    ];
    let mut wrong = Vec::new();
    for (query, part) in cases {
        let message = refusal(&format!("CREATE VIEW bad_one AS {query}"));
        if !message.contains("bad_one") || !message.contains(part) {
            wrong.push(format!("{query}\n    says: {message}\n    should name: {part}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_and_names_are_checked() {
    let body = "AS SELECT user_id, count(*) AS n FROM events GROUP BY user_id, latest(3)";
    assert!(refusal(&format!("CREATE VIEW a {body}; CREATE VIEW a {body}")).contains("same name"));
    assert!(refusal(&format!("CREATE VIEW \"a b\" {body}")).contains("topic"));
    assert!(refusal(&format!("CREATE VIEW x.a {body}")).contains("schema"));
    assert!(refusal("SELECT 1").contains("CREATE VIEW"));
    assert!(refusal("CREATE VIEW").contains("views file"));
    let views = Views::compile(
        &format!("-- nothing\nCREATE VIEW a {body}; /* more */ CREATE VIEW \"B.c-d\" {body};"),
        &EventColumns::default(),
    );
    assert_eq!(views.unwrap().names(), ["a", "B.c-d"]);
}

#[test]
fn latest_values_are_told_apart() {
    let views = Views::compile(super::stream::VIEWS, &EventColumns::default()).unwrap();
    let latest: Vec<String> = views
        .names()
        .into_iter()
        .enumerate()
        .filter(|(at, _)| views.is_latest_value(*at))
        .map(|(_, name)| name)
        .collect();
    assert_eq!(
        latest,
        ["last_hour", "last_five", "now_row", "ever", "by_category", "rich", "young", "ever_by_category"]
    );
}
