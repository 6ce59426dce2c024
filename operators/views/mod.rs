//! Views: SQL over the events of each user, compiled once at start-up.
//!
//! # Layout
//! - [`parse`], [`refuse`], [`plan`], [`udf`], [`window`], [`fallible`]: from the views file to [`View`].
//! - [`arrived`], [`inputs`], [`bisect`]: a view's expressions over rows, and which row made them fail.
//! - [`accumulate`], [`distinct`], [`grouping`]: many groups at once through DataFusion's accumulators.
//! - [`fixed`], [`session`], [`newest`], [`lifetime`]: the windows; [`close`]: their ends.
//! - [`finish`]: HAVING, SELECT and the record.

pub(crate) mod accumulate;
pub(crate) mod arrived;
pub(crate) mod bisect;
pub(crate) mod close;
mod distinct;
mod fallible;
pub(crate) mod finish;
pub(crate) mod fixed;
pub(crate) mod grouping;
pub(crate) mod inputs;
pub(crate) mod lifetime;
pub(crate) mod newest;
mod parse;
mod plan;
mod refuse;
pub(crate) mod session;
mod udf;
pub(crate) mod window;

use schemas::event::EventColumns;

pub(crate) use plan::View;

/// The views of a file, ready to run.
#[derive(Debug)]
pub struct Views {
    pub(crate) list: Vec<View>,
    /// How many are computed from the history.
    pub(crate) from_history: usize,
}

/// Why a views file cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The file is no SQL.
    #[error("the views file: {0}")]
    Syntax(String),
    /// A statement makes no view.
    #[error("the views file: `{0}` is not a CREATE VIEW statement")]
    NotAView(String),
    /// A view has what views cannot have.
    #[error("view `{view}`: refused: {reason}")]
    Refused {
        /// The view's name.
        view: String,
        /// What was found, and what to do.
        reason: String,
    },
    /// More columns than a row's validity has bits.
    #[error("events.columns: at most 54 columns can be declared, there are {0}")]
    TooManyColumns(usize),
}

/// Most columns that an event can have.
const MAX_COLUMNS: usize = 64;
/// Kafka's bound on a topic's name.
const MAX_TOPIC_BYTES: usize = 249;

impl Views {
    /// Plans every `CREATE VIEW` of `sql`, in order.
    ///
    /// # Errors
    /// Where a view cannot run; the message names the view and what was found.
    pub fn compile(sql: &str, columns: &EventColumns) -> Result<Self, ViewError> {
        if columns.schema().fields().len() > MAX_COLUMNS {
            return Err(ViewError::TooManyColumns(columns.declared().len()));
        }
        let mut views = Self { list: Vec::new(), from_history: 0 };
        for parts in parse::parse(sql, columns)? {
            let (name, index) = (parts.name.clone(), views.list.len());
            let refuse = |reason| ViewError::Refused { view: name.clone(), reason };
            check_name(&name).map_err(refuse)?;
            if views.list.iter().any(|view| view.name == name) {
                return Err(refuse("another view has the same name".into()));
            }
            let view = View::plan(parts, index, views.from_history).map_err(refuse)?;
            views.from_history += usize::from(view.window.is_from_history());
            views.list.push(view);
        }
        Ok(views)
    }

    /// The views' names, in order.
    pub fn names(&self) -> Vec<String> {
        self.list.iter().map(|view| view.name.clone()).collect()
    }

    /// Whether the view at `view` has one value per user, the newest: rolling, latest and lifetime windows.
    pub fn is_latest_value(&self, view: usize) -> bool {
        self.list[view].window.is_latest_value()
    }
}

/// A view's name is part of its topic's.
fn check_name(name: &str) -> Result<(), String> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || !name.chars().all(is_fit) {
        return Err("its name cannot be part of a topic's; use letters, digits, `.`, `_` and `-`".into());
    }
    if "features.".len() + name.len() > MAX_TOPIC_BYTES {
        return Err(format!("its name makes a topic's name of more than {MAX_TOPIC_BYTES} bytes"));
    }
    Ok(())
}
