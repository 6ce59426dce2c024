//! A view as it runs: physical expressions over its columns, accumulators, and what a record shows.

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{ArrayRef, new_empty_array},
    datatypes::{DataType, Schema, SchemaRef},
    row::{RowConverter, SortField},
};
use datafusion::{
    common::DFSchema,
    logical_expr::{Expr, execution_props::ExecutionProps, physical_planning_context::PhysicalPlanningContext},
    physical_expr::{
        PhysicalExpr,
        aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder},
        create_physical_expr,
        utils::{collect_columns, reassign_expr_columns},
    },
};

use super::{fallible::can_fail, parse::Parts, refuse::check, udf::is_window, window::Window};

type Physical = Arc<dyn PhysicalExpr>;

/// One aggregate of a view.
#[derive(Debug)]
pub(crate) struct AggregateColumn {
    pub(crate) function: Arc<AggregateFunctionExpr>,
    /// Arguments, then what it orders by.
    pub(crate) arguments: Vec<Physical>,
    pub(crate) filter: Option<Physical>,
    /// Arguments over no rows.
    pub(crate) no_rows: Vec<ArrayRef>,
    /// Columns of its intermediate state.
    pub(crate) states: usize,
}

/// Where a column of the aggregate's result comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GroupColumn {
    User,
    Window,
    Key(usize),
}

/// A view, compiled.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) index: u16,
    pub(crate) name: String,
    /// Of its normalized text: with another one its state is of no use.
    pub(crate) sql_hash: u64,
    pub(crate) window: Window,
    /// Its bit in the rows' marks, where it is computed from the history.
    pub(crate) bit: usize,
    /// The columns of events that it reads, ascending.
    pub(crate) columns: Vec<usize>,
    /// Those columns, then `age_ms` where it is read.
    pub(crate) input: SchemaRef,
    pub(crate) uses_age: bool,
    pub(crate) filter: Option<Physical>,
    pub(crate) filter_uses_age: bool,
    /// `GROUP BY` beside user and window.
    pub(crate) keys: Vec<Physical>,
    pub(crate) key_rows: Option<RowConverter>,
    pub(crate) aggregates: Vec<AggregateColumn>,
    /// Of all aggregates' states; none without aggregates.
    pub(crate) state_rows: Option<RowConverter>,
    /// Whether keys, arguments and filters of aggregates can fail on a row.
    pub(crate) can_fail: bool,
    /// Whether an aggregate looks at the order of rows.
    pub(crate) is_ordered: bool,
    /// The aggregate's result.
    pub(crate) grouped: SchemaRef,
    pub(crate) layout: Vec<GroupColumn>,
    pub(crate) having: Option<Physical>,
    /// What a record shows: `,"name":` and the value.
    pub(crate) shown: Vec<(Vec<u8>, Physical)>,
}

/// The parts of `GROUP BY`.
struct Groups {
    window: Window,
    window_name: String,
    layout: Vec<GroupColumn>,
    keys: Vec<Expr>,
}

impl View {
    /// Compiles a view; `index` is its place in the file, `bit` among those computed from the history.
    ///
    /// # Errors
    /// What the view has that views cannot have.
    pub(super) fn plan(parts: Parts, index: usize, bit: usize) -> Result<Self, String> {
        let groups = groups(&parts.aggregate.group_expr)?;
        check_all(&parts, &groups)?;
        let lower = Lower { schema: parts.table.schema().as_ref() };
        let filter = parts.filter.as_ref().map(|filter| lower.expr(filter)).transpose()?;
        let keys = groups.keys.iter().map(|key| lower.expr(key)).collect::<Result<Vec<_>, _>>()?;
        let aggregates = parts.aggregate.aggr_expr.iter().map(|a| lower.aggregate(a)).collect::<Result<Vec<_>, _>>()?;
        let is_ordered = aggregates.iter().any(|aggregate| !aggregate.function.order_bys().is_empty());
        let below = Lower { schema: parts.aggregate.schema.as_ref() };
        let having = parts.having.as_ref().map(|having| below.expr(having)).transpose()?;
        let shown = shown(&parts, &groups, &below)?;
        let mut view = Self {
            index: index as u16,
            name: parts.name,
            sql_hash: parts.sql_hash,
            window: groups.window,
            bit,
            columns: Vec::new(),
            input: Arc::new(Schema::empty()),
            uses_age: false,
            filter,
            filter_uses_age: false,
            key_rows: None,
            keys,
            state_rows: state_rows(&aggregates)?,
            aggregates,
            can_fail: false,
            is_ordered,
            grouped: Arc::clone(parts.aggregate.schema.inner()),
            layout: groups.layout,
            having,
            shown,
        };
        view.read_only(lower.schema.as_arrow()).map_err(|error| error.strip_backtrace())?;
        Ok(view)
    }

    /// The expressions of keys and aggregates.
    fn row_exprs(&mut self) -> impl Iterator<Item = &mut Physical> {
        let aggregates = self.aggregates.iter_mut().flat_map(|a| a.arguments.iter_mut().chain(&mut a.filter));
        self.keys.iter_mut().chain(aggregates)
    }

    /// Makes the expressions read the columns they need and no others.
    fn read_only(&mut self, table: &Schema) -> datafusion::common::Result<()> {
        let of = |expr: &Physical| collect_columns(expr).iter().map(|column| column.index()).collect::<BTreeSet<_>>();
        let age = table.fields().len() - 1;
        let mut columns: BTreeSet<usize> = self.row_exprs().flat_map(|expr| of(expr)).collect();
        if let Some(filter) = &self.filter {
            let read = of(filter);
            self.filter_uses_age = read.contains(&age);
            columns.extend(read);
        }
        let input = Arc::new(table.project(&columns.iter().copied().collect::<Vec<_>>())?);
        self.uses_age = columns.remove(&age);
        self.columns = columns.into_iter().collect();
        if let Some(filter) = &mut self.filter {
            *filter = reassign_expr_columns(Arc::clone(filter), &input)?;
        }
        let mut can_fail_somewhere = false;
        for expr in self.row_exprs() {
            *expr = reassign_expr_columns(Arc::clone(expr), &input)?;
            can_fail_somewhere |= can_fail(expr, &input);
        }
        self.can_fail = can_fail_somewhere;
        let kinds =
            self.keys.iter().map(|key| key.data_type(&input)).collect::<datafusion::common::Result<Vec<_>>>()?;
        if !kinds.is_empty() {
            self.key_rows = Some(RowConverter::new(kinds.into_iter().map(SortField::new).collect())?);
        }
        self.input = input;
        Ok(())
    }

    /// Whether a value that was given and then no longer holds is taken back: a record without a value.
    pub(crate) fn is_tracked(&self) -> bool {
        self.window.is_latest_value() && (self.having.is_some() || self.key_rows.is_some())
    }
}

/// Takes `GROUP BY` apart.
fn groups(exprs: &[Expr]) -> Result<Groups, String> {
    let (mut window, mut layout, mut keys, mut has_user) = (None, Vec::new(), Vec::new(), false);
    for expr in exprs {
        match expr.clone().unalias() {
            Expr::ScalarFunction(function) if is_window(function.name()) => {
                if window.is_some() {
                    return Err(format!("more than one window in GROUP BY: {expr}"));
                }
                window = Some((Window::parse(function.name(), &function.args)?, expr.schema_name().to_string()));
                layout.push(GroupColumn::Window);
            }
            Expr::Column(column) if column.name == "user_id" => {
                has_user = true;
                layout.push(GroupColumn::User);
            }
            _ => {
                // Before what is missing is named: the window may stand in here.
                check(expr, true)?;
                layout.push(GroupColumn::Key(keys.len()));
                keys.push(expr.clone());
            }
        }
    }
    if !has_user {
        return Err("user_id is not in GROUP BY: every view is per user".into());
    }
    let Some((window, window_name)) = window else {
        return Err("no window in GROUP BY: tumble, hop, session, rolling, latest or lifetime".into());
    };
    Ok(Groups { window, window_name, layout, keys })
}

fn check_all(parts: &Parts, groups: &Groups) -> Result<(), String> {
    let may_use_age = groups.window.is_from_history();
    let exprs = groups.keys.iter().chain(&parts.aggregate.aggr_expr).chain(&parts.filter);
    exprs.chain(&parts.having).chain(&parts.projection).try_for_each(|expr| check(expr, may_use_age))
}

/// What a record shows, in SELECT's order; keys that are not selected come last.
fn shown(parts: &Parts, groups: &Groups, below: &Lower<'_>) -> Result<Vec<(Vec<u8>, Physical)>, String> {
    let is_column = |expr: &Expr, name: &str| matches!(expr, Expr::Column(column) if column.name == name);
    let own: [&str; 3] = if groups.window.is_latest_value() {
        ["user_id", "time", "source"]
    } else {
        ["user_id", "window_start", "window_end"]
    };
    let keys = groups.layout.iter().zip(parts.aggregate.schema.columns()).filter_map(|(column, name)| {
        let is_shown = parts.projection.iter().any(|expr| is_column(&expr.clone().unalias(), &name.name));
        (matches!(column, GroupColumn::Key(_)) && !is_shown).then_some(Expr::Column(name))
    });
    let mut shown: Vec<(Vec<u8>, Physical)> = Vec::new();
    for expr in parts.projection.iter().cloned().chain(keys) {
        if is_column(&expr, "user_id") || is_column(&expr, &groups.window_name) {
            continue;
        }
        let name = expr.qualified_name().1;
        if own.contains(&name.as_str()) {
            return Err(format!("a column named {name}, which every record of this view has of its own; use AS"));
        }
        let label = format!(",{}:", serde_json::Value::String(name.clone())).into_bytes();
        if shown.iter().any(|(other, _)| *other == label) {
            return Err(format!("two columns named {name}; use AS"));
        }
        shown.push((label, below.expr(&expr)?));
    }
    Ok(shown)
}

fn state_rows(aggregates: &[AggregateColumn]) -> Result<Option<RowConverter>, String> {
    let mut fields = Vec::new();
    for aggregate in aggregates {
        for field in aggregate.function.state_fields().map_err(|error| error.strip_backtrace())? {
            fields.push(SortField::new(field.data_type().clone()));
        }
    }
    if fields.is_empty() {
        return Ok(None);
    }
    RowConverter::new(fields).map(Some).map_err(|error| format!("a state that cannot be kept: {error}"))
}

/// From logical to physical expressions over one schema.
struct Lower<'a> {
    schema: &'a DFSchema,
}

impl Lower<'_> {
    fn expr(&self, expr: &Expr) -> Result<Physical, String> {
        create_physical_expr(expr, self.schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
            .map_err(|error| error.strip_backtrace())
    }

    fn aggregate(&self, expr: &Expr) -> Result<AggregateColumn, String> {
        let properties = ExecutionProps::new();
        let context = PhysicalPlanningContext::default();
        let lowered =
            LoweredAggregateBuilder::new(expr, self.schema, self.schema.as_arrow(), &properties, &context).build();
        let lowered = lowered.map_err(|error| error.strip_backtrace())?;
        let function = lowered.aggregate;
        let states = function.state_fields().map_err(|error| error.strip_backtrace())?;
        if states.iter().any(|field| matches!(field.data_type(), DataType::Union(..))) {
            return Err(format!("{} keeps a state of a type that cannot be kept", function.name()));
        }
        let by_time = function.order_bys().first().is_none_or(|sort| !sort.options.descending);
        if !by_time && function.order_sensitivity().hard_requires() {
            return Err(format!("{} ORDER BY … DESC; write it ascending", function.name()));
        }
        let order = function.order_bys().iter().map(|sort| Arc::clone(&sort.expr));
        let arguments: Vec<Physical> = function.expressions().into_iter().chain(order).collect();
        let none = |expr: &Physical| expr.data_type(self.schema.as_arrow()).map(|kind| new_empty_array(&kind));
        let no_rows = arguments.iter().map(none).collect::<Result<_, _>>();
        let no_rows = no_rows.map_err(|error| error.strip_backtrace())?;
        Ok(AggregateColumn { arguments, no_rows, filter: lowered.filter, states: states.len(), function })
    }
}
