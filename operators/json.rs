//! JSON text of values, written straight into bytes.

use arrow::{
    array::{Array, AsArray},
    datatypes::{
        DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
        UInt32Type, UInt64Type,
    },
    util::display::array_value_to_string,
};
use serde::Serialize;

/// Writes a number, text or boolean.
pub(crate) fn plain<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("plain values have a JSON text, and memory takes it");
}

/// Writes a float; what JSON has no number for is null.
fn float(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() { plain(out, &value) } else { out.extend_from_slice(b"null") }
}

/// Writes row `row` of `array`; NaN and infinities are null.
pub(crate) fn cell(out: &mut Vec<u8>, array: &dyn Array, row: usize) {
    if array.is_null(row) {
        return out.extend_from_slice(b"null");
    }
    match array.data_type() {
        DataType::Int64 => plain(out, &array.as_primitive::<Int64Type>().value(row)),
        DataType::Float64 => float(out, array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8View => plain(out, array.as_string_view().value(row)),
        DataType::Utf8 => plain(out, array.as_string::<i32>().value(row)),
        DataType::LargeUtf8 => plain(out, array.as_string::<i64>().value(row)),
        DataType::Boolean => plain(out, &array.as_boolean().value(row)),
        DataType::UInt64 => plain(out, &array.as_primitive::<UInt64Type>().value(row)),
        DataType::Int8 => plain(out, &array.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => plain(out, &array.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => plain(out, &array.as_primitive::<Int32Type>().value(row)),
        DataType::UInt8 => plain(out, &array.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => plain(out, &array.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => plain(out, &array.as_primitive::<UInt32Type>().value(row)),
        DataType::Float32 => single(out, array.as_primitive::<Float32Type>().value(row)),
        _ => nested(out, array, row),
    }
}

fn single(out: &mut Vec<u8>, value: f32) {
    if value.is_finite() { plain(out, &value) } else { out.extend_from_slice(b"null") }
}

fn nested(out: &mut Vec<u8>, array: &dyn Array, row: usize) {
    match array.data_type() {
        DataType::List(_) => list(out, array.as_list::<i32>().value(row).as_ref()),
        DataType::LargeList(_) => list(out, array.as_list::<i64>().value(row).as_ref()),
        DataType::FixedSizeList(..) => list(out, array.as_fixed_size_list().value(row).as_ref()),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            cell(out, dictionary.values().as_ref(), dictionary.normalized_keys()[row]);
        }
        DataType::Struct(fields) => {
            out.push(b'{');
            for (index, (field, column)) in fields.iter().zip(array.as_struct().columns()).enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                plain(out, field.name());
                out.push(b':');
                cell(out, column.as_ref(), row);
            }
            out.push(b'}');
        }
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            match array_value_to_string(array, row) {
                Ok(text) => out.extend_from_slice(text.as_bytes()),
                Err(_) => out.extend_from_slice(b"null"),
            }
        }
        _ => match array_value_to_string(array, row) {
            Ok(text) => plain(out, &text),
            Err(_) => out.extend_from_slice(b"null"),
        },
    }
}

fn list(out: &mut Vec<u8>, values: &dyn Array) {
    out.push(b'[');
    for row in 0..values.len() {
        if row > 0 {
            out.push(b',');
        }
        cell(out, values, row);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Decimal128Array, Float64Array, Int64Array, ListArray, StringViewArray};

    fn text(array: &dyn Array) -> String {
        let mut out = Vec::new();
        list(&mut out, array);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_json() {
        let floats = Float64Array::from(vec![Some(0.1), Some(f64::NAN), Some(f64::NEG_INFINITY), None, Some(1e20)]);
        assert_eq!(text(&floats), "[0.1,null,null,null,1e+20]");
        assert_eq!(text(&Int64Array::from(vec![i64::MIN, 7])), "[-9223372036854775808,7]");
        assert_eq!(text(&StringViewArray::from(vec!["a\"\n", "ü"])), r#"["a\"\n","ü"]"#);
        let decimals = Decimal128Array::from(vec![-1234]).with_precision_and_scale(10, 2).unwrap();
        assert_eq!(text(&decimals), "[-12.34]");
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1), None]), None]);
        assert_eq!(text(&lists), "[[1,null],null]");
    }
}
