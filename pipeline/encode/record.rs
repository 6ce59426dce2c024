//! A record of `encodings.sdim`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use shaders::sdim::{BUCKETS, GROUPS};

/// The only version there is: the hash matrix is frozen.
pub const MODEL_VERSION: u64 = 1;

/// What stands before the table.
#[derive(Debug, Serialize)]
pub struct Head<'a> {
    /// The user.
    pub user_id: &'a str,
    /// His newest event time, in ms.
    pub time: i64,
    /// How many behaviors stand in his window.
    pub events: usize,
    /// The version of model `sdim`.
    pub model_version: u64,
    /// The version of the items whose vectors the table is made of.
    pub items_version: u64,
    /// Topic, partition and offset of his newest row.
    pub source: (&'a str, i32, i64),
}

/// Bytes that a table takes in a record.
pub fn table_bytes(dim: usize) -> usize {
    (GROUPS * BUCKETS * dim * 2).div_ceil(3) * 4
}

/// Writes a record to `out`: `table` is f16 bits (groups, buckets, dim), sent as base64 of little-endian bytes.
pub fn write(head: &Head<'_>, table: &[u16], out: &mut Vec<u8>) {
    out.clear();
    serde_json::to_writer(&mut *out, head).expect("a head becomes JSON");
    out.pop();
    let dim = table.len() / (GROUPS * BUCKETS);
    let fixed = format!(r#","groups":{GROUPS},"buckets":{BUCKETS},"dim":{dim},"table":""#);
    out.extend_from_slice(fixed.as_bytes());
    let start = out.len();
    out.resize(start + table_bytes(dim), 0);
    let bytes: &[u8] = bytemuck::cast_slice(table);
    #[cfg(target_endian = "big")]
    compile_error!("tables are little-endian on the wire");
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).expect("the room was made for it");
    out.truncate(start + written);
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_what_the_contract_says() {
        let table = vec![0x3c00_u16; GROUPS * BUCKETS * 2];
        let head =
            Head { user_id: "u\"1", time: 5, events: 3, model_version: 1, items_version: 2, source: ("events", 2, 9) };
        let mut out = Vec::new();
        write(&head, &table, &mut out);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&value["user_id"], &value["items_version"]), (&"u\"1".into(), &2.into()));
        assert_eq!((&value["groups"], &value["buckets"], &value["dim"]), (&16.into(), &8.into(), &2.into()));
        let bytes = STANDARD.decode(value["table"].as_str().unwrap()).unwrap();
        assert_eq!(bytes.len(), 16 * 8 * 2 * 2);
        assert_eq!(&bytes[..4], &[0, 0x3c, 0, 0x3c]);
    }
}
