//! What a view may not do, found before it runs.

use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    logical_expr::{Expr, Volatility, expr::AggregateFunction},
};

use super::udf::is_window;

/// Aggregates whose value depends on the order of rows.
const ORDERED: [&str; 5] = ["array_agg", "string_agg", "first_value", "last_value", "nth_value"];
/// Aggregates that give other values when their partial results are merged in another way.
const SKETCHES: [&str; 4] =
    ["approx_percentile_cont", "approx_percentile_cont_with_weight", "approx_median", "any_value"];

/// Refuses what no expression of a view may contain, at any depth.
///
/// # Errors
/// What was found.
pub(super) fn check(expr: &Expr, may_use_age: bool) -> Result<(), String> {
    let mut found = None;
    expr.apply(|node| {
        found = refusal(node, may_use_age);
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .map_err(|error| error.to_string())?;
    found.map_or(Ok(()), Err)
}

fn refusal(expr: &Expr, may_use_age: bool) -> Option<String> {
    match expr {
        Expr::ScalarFunction(function) if is_window(function.name()) => {
            Some(format!("the window {expr} stands inside another expression; it belongs in GROUP BY, alone"))
        }
        Expr::ScalarFunction(function) if function.func.signature().volatility != Volatility::Immutable => {
            Some(format!("{}() does not give the same value for the same rows every time", function.name()))
        }
        Expr::Column(column) if column.name == "age_ms" && !may_use_age => {
            Some("age_ms is a column of rolling and latest views only".into())
        }
        Expr::AggregateFunction(function) => aggregate(function),
        Expr::WindowFunction(_) => Some("a SQL window function (OVER)".into()),
        Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_) => {
            Some("a subquery".into())
        }
        Expr::OuterReferenceColumn(..) => Some("a reference to an outer query".into()),
        Expr::GroupingSet(_) => Some("GROUPING SETS, CUBE or ROLLUP".into()),
        Expr::Placeholder(_) | Expr::ScalarVariable(..) => Some(format!("the placeholder or variable {expr}")),
        Expr::Unnest(_) => Some("unnest".into()),
        _ => None,
    }
}

fn aggregate(function: &AggregateFunction) -> Option<String> {
    let name = function.func.name();
    if SKETCHES.contains(&name) {
        return Some(format!("{name} gives another value when its rows come in other batches"));
    }
    if name == "grouping" {
        return Some("grouping()".into());
    }
    if function.func.signature().volatility != Volatility::Immutable {
        return Some(format!("{name}() does not give the same value for the same rows every time"));
    }
    let by_time = function.params.order_by.first().is_some_and(
        |sort| matches!(&sort.expr, Expr::Column(column) if column.name == "time" || column.name == "age_ms"),
    );
    if ORDERED.contains(&name) && !by_time {
        return Some(format!("{name} depends on the order of rows; write {name}(… ORDER BY time)"));
    }
    None
}
