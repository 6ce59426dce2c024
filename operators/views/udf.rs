//! The window functions of the SQL dialect: names and arguments; they are taken out of the plan, never run.

use arrow::datatypes::DataType;
use datafusion::{
    common::{Result, internal_err},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};

/// Their names and how many arguments each takes.
pub(super) const WINDOWS: [(&str, usize); 6] =
    [("tumble", 1), ("hop", 2), ("session", 1), ("rolling", 1), ("latest", 1), ("lifetime", 0)];

/// Whether `name` is a window function.
pub(super) fn is_window(name: &str) -> bool {
    WINDOWS.iter().any(|(window, _)| *window == name)
}

/// The window functions, to be registered with a session.
pub(super) fn window_functions() -> impl Iterator<Item = ScalarUDF> {
    WINDOWS.into_iter().map(|(name, arguments)| {
        let signature = if arguments == 0 {
            Signature::nullary(Volatility::Immutable)
        } else {
            Signature::any(arguments, Volatility::Immutable)
        };
        ScalarUDF::from(Placeholder { name, signature })
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Placeholder {
    name: &'static str,
    signature: Signature,
}

impl ScalarUDFImpl for Placeholder {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{} is a window, not a value", self.name)
    }
}
