//! Whether an expression can fail on a row.

use arrow::datatypes::{DataType, Schema};
use datafusion::{
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr, ScalarFunctionExpr,
        expressions::{
            BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
        },
    },
};
use std::sync::Arc;

/// Functions of floats that give NaN rather than fail.
const TOTAL: [&str; 14] =
    ["exp", "ln", "log2", "log10", "sqrt", "cbrt", "abs", "floor", "ceil", "sin", "cos", "tanh", "coalesce", "nullif"];

/// False where no row can make `expr` fail: what is not known to be safe can fail.
pub(super) fn can_fail(expr: &Arc<dyn PhysicalExpr>, input: &Schema) -> bool {
    !is_safe_itself(expr.as_ref(), input) || expr.children().into_iter().any(|child| can_fail(child, input))
}

fn is_safe_itself(expr: &dyn PhysicalExpr, input: &Schema) -> bool {
    let is_float = || matches!(expr.data_type(input), Ok(DataType::Float64));
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        let op = binary.op();
        let compares =
            op.supports_propagation() || matches!(op, Operator::And | Operator::Or | Operator::IsDistinctFrom);
        let adds = matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply);
        let is_number = || matches!(expr.data_type(input), Ok(DataType::Float64 | DataType::Int64));
        return compares || (adds && is_number()) || (*op == Operator::Divide && is_float());
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        let from = cast.expr().data_type(input);
        let is_total = |from: &DataType| from.is_null() || (from.is_numeric() && is_float());
        return is_literal(cast.expr().as_ref()) || from.as_ref().is_ok_and(is_total);
    }
    if let Some(function) = expr.downcast_ref::<ScalarFunctionExpr>() {
        return TOTAL.contains(&function.name()) && is_float();
    }
    is_literal(expr)
        || expr.is::<Column>()
        || expr.is::<IsNullExpr>()
        || expr.is::<IsNotNullExpr>()
        || expr.is::<NotExpr>()
        || expr.is::<CaseExpr>()
        || expr.is::<InListExpr>()
        || expr.is::<LikeExpr>()
}

fn is_literal(expr: &dyn PhysicalExpr) -> bool {
    expr.is::<Literal>()
}
