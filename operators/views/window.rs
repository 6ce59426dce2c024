//! Windows: which rows are in them, and when they close.

use arrow::array::RecordBatchOptions;
use arrow::{array::RecordBatch, datatypes::Schema};
use datafusion::{
    common::{DFSchema, ScalarValue},
    logical_expr::{Expr, execution_props::ExecutionProps, physical_planning_context::PhysicalPlanningContext},
    physical_expr::create_physical_expr,
};
use std::sync::Arc;

/// A view's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// `tumble` (slide = size) and `hop`.
    Fixed(Fixed),
    /// Neighbors at most `gap_ms` apart.
    Session { gap_ms: i64 },
    /// T − size < time ≤ T.
    Rolling { size_ms: i64 },
    /// The newest rows.
    Latest { rows: usize },
    /// All rows ever.
    Lifetime,
}

/// Windows of one size at multiples of `slide_ms` since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fixed {
    pub(crate) slide_ms: i64,
    pub(crate) size_ms: i64,
    /// gcd(slide, size): all times in a pane are in the same windows.
    pub(crate) pane_ms: i64,
}

/// When an open window is looked at next, where all that end up to `closed` are closed: `i64::MAX` is never, none is
/// that it is closed itself.
pub(crate) fn next_look(window: Window, start: i64, end: i64, closed: i64) -> Option<i64> {
    match window {
        Window::Fixed(fixed) => fixed.pane(start, closed).map(|(_, next)| next.max(end)),
        Window::Session { .. } => (end >= closed).then_some(end),
        _ => Some(end),
    }
}

impl Fixed {
    fn new(slide_ms: i64, size_ms: i64) -> Self {
        let (mut a, mut b) = (slide_ms, size_ms);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Self { slide_ms, size_ms, pane_ms: a }
    }

    /// The pane of `time` and the end of its first window that is open at `watermark`; none where none is open.
    pub(crate) fn pane(&self, time: i64, watermark: i64) -> Option<(i64, i64)> {
        let pane = time.div_euclid(self.pane_ms) * self.pane_ms;
        let last = pane.div_euclid(self.slide_ms) * self.slide_ms;
        let up = |time: i64| time.checked_add(self.slide_ms - 1).map(|t| t.div_euclid(self.slide_ms) * self.slide_ms);
        let mut first = up(pane + self.pane_ms - self.size_ms)?;
        if watermark >= first.saturating_add(self.size_ms) {
            first = up((watermark - self.size_ms).checked_add(1)?)?;
        }
        (first <= last).then(|| (pane, first + self.size_ms))
    }

    /// The end of the last window that a pane is in.
    pub(crate) fn last_end(&self, pane: i64) -> i64 {
        pane.div_euclid(self.slide_ms) * self.slide_ms + self.size_ms
    }
}

impl Window {
    /// Whether the view has one value per user, the newest.
    pub(crate) fn is_latest_value(&self) -> bool {
        !matches!(self, Self::Fixed(_) | Self::Session { .. })
    }

    /// Whether the view is computed from the kept history.
    pub(crate) fn is_from_history(&self) -> bool {
        matches!(self, Self::Rolling { .. } | Self::Latest { .. })
    }

    /// The window that a call names.
    ///
    /// # Errors
    /// What is wrong with the arguments.
    pub(super) fn parse(name: &str, arguments: &[Expr]) -> Result<Self, String> {
        let size = |index: usize| duration_ms(name, &arguments[index]);
        Ok(match name {
            "tumble" => Self::Fixed(Fixed::new(size(0)?, size(0)?)),
            "hop" => Self::Fixed(Fixed::new(size(0)?, size(1)?)),
            "session" => Self::Session { gap_ms: size(0)? },
            "rolling" => Self::Rolling { size_ms: size(0)? },
            "latest" => Self::Latest { rows: count(&arguments[0])? },
            _ => Self::Lifetime,
        })
    }
}

/// The value of an argument, which must be a constant.
fn constant(name: &str, argument: &Expr) -> Result<ScalarValue, String> {
    let not = || format!("the argument `{argument}` of {name} is not a constant");
    let batch = RecordBatch::try_new_with_options(
        Arc::new(Schema::empty()),
        vec![],
        &RecordBatchOptions::new().with_row_count(Some(1)),
    );
    let properties = ExecutionProps::new();
    let context = PhysicalPlanningContext::default();
    let value = create_physical_expr(argument, &DFSchema::empty(), &properties, &context)
        .and_then(|expr| expr.evaluate(&batch?)?.into_array(1))
        .map_err(|_| not())?;
    ScalarValue::try_from_array(&value, 0).map_err(|_| not())
}

fn duration_ms(name: &str, argument: &Expr) -> Result<i64, String> {
    let (months, days, nanos) = match constant(name, argument)? {
        ScalarValue::IntervalMonthDayNano(Some(value)) => (value.months, value.days, value.nanoseconds),
        ScalarValue::IntervalDayTime(Some(value)) => (0, value.days, i64::from(value.milliseconds) * 1_000_000),
        ScalarValue::IntervalYearMonth(Some(months)) => (months, 0, 0),
        _ => return Err(format!("{name} takes intervals, as in {name}(INTERVAL '1 minute'), not `{argument}`")),
    };
    if months != 0 {
        return Err(format!("{name} with an interval of months or years, which have no fixed length; give days"));
    }
    if nanos % 1_000_000 != 0 {
        return Err(format!("{name} with an interval that is not a whole number of milliseconds"));
    }
    match i64::from(days) * 86_400_000 + nanos / 1_000_000 {
        size if size > 0 => Ok(size),
        size => Err(format!("{name} with an interval of {size} ms; it must be more than zero")),
    }
}

fn count(argument: &Expr) -> Result<usize, String> {
    match constant("latest", argument)? {
        ScalarValue::Int64(Some(rows)) if rows >= 1 => Ok(rows as usize),
        _ => Err(format!("latest({argument}): it takes a number of rows, 1 or more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the windows counted one by one.
    #[test]
    fn panes_are_the_windows_counted_one_by_one() {
        for (slide, size) in [(5, 15), (4, 10), (10, 4), (7, 7), (3, 8), (8, 3)] {
            let fixed = Fixed::new(slide, size);
            for time in 0..60i64 {
                for watermark in (-5..80).chain([i64::MIN, i64::MAX]) {
                    let starts =
                        (-100..=60).filter(|start| start % slide == 0 && *start <= time && time < start + size);
                    let ends: Vec<i64> = starts.map(|start| start + size).filter(|end| *end > watermark).collect();
                    let pane = time.div_euclid(fixed.pane_ms) * fixed.pane_ms;
                    assert_eq!(fixed.pane(time, watermark), ends.first().map(|&end| (pane, end)));
                    if let Some(last) = ends.last() {
                        assert_eq!(fixed.last_end(pane), *last);
                    }
                }
            }
        }
    }
}
