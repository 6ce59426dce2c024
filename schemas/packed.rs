//! A record of `<app>.by-user`: what the router tells about watermarks, and many rows.
//!
//! ```text
//! magic "WS1" · kind u8 · header length u32 · header (JSON) · Arrow IPC: metadata length u32 · metadata · body
//! ```
//! The header names the source topic of the rows, the declared columns they were written with (the schema's id), and the
//! watermark controls. Controls take effect after the record's rows. All integers are little-endian.
