//! From the text of the views file to the parts of each view's plan.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::{
    catalog::empty::EmptyTable,
    execution::SessionState,
    logical_expr::{Aggregate, DdlStatement, Expr, LogicalPlan},
    prelude::{SessionConfig, SessionContext},
    sql::parser::{DFParser, Statement},
    sql::sqlparser::ast::Statement as SqlStatement,
};
use schemas::event::EventColumns;
use xxhash_rust::xxh3::xxh3_64;

use super::{ViewError, udf::window_functions};

/// A view's plan, taken apart: `SELECT projection FROM events WHERE filter GROUP BY … HAVING having`.
pub(super) struct Parts {
    pub(super) name: String,
    pub(super) sql_hash: u64,
    pub(super) projection: Vec<Expr>,
    pub(super) having: Option<Expr>,
    pub(super) aggregate: Aggregate,
    pub(super) filter: Option<Expr>,
    /// What `filter`, keys and aggregates read: the table.
    pub(super) table: LogicalPlan,
}

/// All views of a file, in order.
///
/// # Errors
/// Where a statement is no view, or has a shape that views do not have.
pub(super) fn parse(sql: &str, columns: &EventColumns) -> Result<Vec<Parts>, ViewError> {
    let state = session(columns);
    let statements = DFParser::parse_sql(sql).map_err(|error| ViewError::Syntax(error.strip_backtrace()))?;
    statements.into_iter().map(|statement| parts(&state, statement)).collect()
}

fn session(columns: &EventColumns) -> SessionState {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    for function in window_functions() {
        context.register_udf(function);
    }
    let age = Arc::new(Field::new("age_ms", DataType::Int64, false));
    let fields = columns.schema().fields().iter().cloned().chain([age]).collect::<Vec<_>>();
    let table = Arc::new(EmptyTable::new(Arc::new(Schema::new(fields))));
    context.register_table("events", table).expect("a new session has no table of this name");
    context.state()
}

fn parts(state: &SessionState, statement: Statement) -> Result<Parts, ViewError> {
    let name = match &statement {
        Statement::Statement(statement) => match statement.as_ref() {
            SqlStatement::CreateView(view) => view.name.to_string(),
            _ => return Err(ViewError::NotAView(statement.to_string())),
        },
        _ => return Err(ViewError::NotAView(statement.to_string())),
    };
    let sql_hash = xxh3_64(statement.to_string().as_bytes());
    let refuse = |reason: String| ViewError::Refused { view: name.clone(), reason };
    let plan = futures::executor::block_on(state.statement_to_plan(statement))
        .map_err(|error| refuse(error.strip_backtrace()))?;
    let LogicalPlan::Ddl(DdlStatement::CreateView(view)) = plan else {
        return Err(refuse("not a CREATE VIEW statement".into()));
    };
    let name = match &view.name {
        datafusion::common::TableReference::Bare { table } => table.to_string(),
        other => return Err(refuse(format!("its name {other} has a schema before it"))),
    };
    let plan = state
        .analyzer()
        .execute_and_check(Arc::unwrap_or_clone(view.input), state.config_options(), |_, _| {})
        .map_err(|error| refuse(error.strip_backtrace()))?;
    take_apart(&name, sql_hash, plan).map_err(refuse)
}

/// The parts of a plan.
///
/// # Errors
/// The first thing that views do not have.
fn take_apart(name: &str, sql_hash: u64, plan: LogicalPlan) -> Result<Parts, String> {
    let LogicalPlan::Projection(projection) = plan else { return Err(unwanted(&plan)) };
    let (having, below) = match Arc::unwrap_or_clone(projection.input) {
        LogicalPlan::Filter(filter) => (Some(filter.predicate), Arc::unwrap_or_clone(filter.input)),
        other => (None, other),
    };
    let aggregate = match below {
        LogicalPlan::Aggregate(aggregate) => aggregate,
        LogicalPlan::TableScan(_) => {
            return Err(
                "it has no GROUP BY; write GROUP BY user_id, and a window such as tumble(INTERVAL '1 minute')".into()
            );
        }
        other => return Err(unwanted(&other)),
    };
    let (filter, below) = match aggregate.input.as_ref() {
        LogicalPlan::Filter(filter) => (Some(filter.predicate.clone()), filter.input.as_ref()),
        other => (None, other),
    };
    let table = match below {
        LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
        other => other,
    };
    if !matches!(table, LogicalPlan::TableScan(_)) {
        return Err(unwanted(table));
    }
    let table = below.clone();
    Ok(Parts { name: name.into(), sql_hash, projection: projection.expr, having, aggregate, filter, table })
}

fn unwanted(plan: &LogicalPlan) -> String {
    match plan {
        LogicalPlan::Sort(_) => "ORDER BY of the whole query: a stream has no end to sort at".into(),
        LogicalPlan::Limit(_) => "LIMIT".into(),
        LogicalPlan::Distinct(_) => "SELECT DISTINCT".into(),
        LogicalPlan::Union(_) => "UNION".into(),
        LogicalPlan::Join(_) => "a join".into(),
        LogicalPlan::Subquery(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Projection(_) => {
            "a query inside the query; a view reads the table events itself, and names its columns with AS".into()
        }
        LogicalPlan::Window(_) => "a SQL window function (OVER)".into(),
        LogicalPlan::Filter(_) => "a filter where views have none (QUALIFY?)".into(),
        LogicalPlan::Unnest(_) => "unnest".into(),
        LogicalPlan::Aggregate(_) => "an aggregate of an aggregate".into(),
        other => format!("{}, where a view reads the table events", other.display()),
    }
}
