//! `.csv`, `.parquet` and SQL: rows made into JSON by DataFusion, as they come.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::json::writer::{LineDelimited, WriterBuilder};
use datafusion::common::TableReference;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use futures::StreamExt;

use super::open::{self, Compression, FORMATS, FileKind, Format};
use super::read::{Feeder, Stop};

/// Rows of a batch: wide rows (vectors) must not make a chunk giant.
const BATCH_ROWS: usize = 2048;
/// Memory of a query; a sort of more spills to the disk.
const MEMORY_BYTES: usize = 1 << 30;
/// Rows that a column's type is read from.
const INFER_ROWS: usize = 1_000_000;

impl From<DataFusionError> for Stop {
    fn from(error: DataFusionError) -> Self {
        Self::Failed(error.strip_backtrace())
    }
}

/// Hands the rows of `sql` to `feeder` as JSON records.
///
/// # Errors
/// Where the query or one of its files is bad, or nobody reads any more.
pub fn sql(sql: &str, feeder: &Feeder) -> Result<(), Stop> {
    run(feeder, async |context| {
        let state = context.state();
        let statement = state.sql_to_statement(sql, &state.config_options().sql_parser.dialect)?;
        for name in state.resolve_table_references(&statement)? {
            let TableReference::Bare { table } = &name else {
                return Err(not_quoted(&name.to_string()));
            };
            let kind = FileKind::of(table).ok_or_else(|| not_quoted(table))?;
            let provider = table_of(&context, Path::new(table.as_ref()), kind).await?;
            context.register_table(name, provider)?;
        }
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        Ok(context.sql_with_options(sql, options).await?)
    })
}

/// Hands the rows of the file at `path` to `feeder` as JSON records.
///
/// # Errors
/// Where the file is bad, or nobody reads any more.
pub fn file(path: &Path, feeder: &Feeder) -> Result<(), Stop> {
    run(feeder, async |context| {
        let kind = FileKind::of(&path.to_string_lossy()).expect("the input's kind was read from this name");
        let provider = table_of(&context, path, kind).await?;
        Ok(context.read_table(provider)?)
    })
}

fn not_quoted(name: &str) -> Stop {
    Stop::Failed(format!("FROM {name} names no file: write FROM 'FILE' in quotes, with FILE ending in {FORMATS}"))
}

/// Runs the query that `plan` makes, on this thread: rows keep the order of their files.
fn run(feeder: &Feeder, plan: impl AsyncFnOnce(SessionContext) -> Result<DataFrame, Stop>) -> Result<(), Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let memory = RuntimeEnvBuilder::new().with_memory_limit(MEMORY_BYTES, 1.0).build_arc()?;
        // A Parquet column whose smallest and largest value are one is taken as constant where statistics are read, and
        // they leave out NaN.
        let mut config = SessionConfig::new().with_collect_statistics(false);
        config = config.with_target_partitions(1).with_batch_size(BATCH_ROWS);
        // Identifiers keep their case, as column names of files have it.
        config.options_mut().sql_parser.enable_ident_normalization = false;
        let frame = plan(SessionContext::new_with_config_rt(config, memory)).await?;
        let mut batches = frame.execute_stream().await?;
        while let Some(batch) = batches.next().await {
            send(&batch?, feeder)?;
        }
        Ok(())
    })
}

/// One JSON record a row: nulls left out, timestamps as RFC 3339 (those without a zone are UTC).
fn send(batch: &RecordBatch, feeder: &Feeder) -> Result<(), Stop> {
    let mut chunk = feeder.blank();
    let mut writer = WriterBuilder::new()
        .with_timestamp_format("%Y-%m-%dT%H:%M:%S%.fZ".into())
        .with_timestamp_tz_format("%Y-%m-%dT%H:%M:%S%.f%:z".into())
        .build::<_, LineDelimited>(&mut chunk.bytes);
    writer.write(batch).and_then(|()| writer.finish()).map_err(|error| Stop::Failed(error.to_string()))?;
    drop(writer);
    chunk.take_lines();
    Ok(feeder.send(chunk)?)
}

/// A file as a table.
async fn table_of(context: &SessionContext, path: &Path, kind: FileKind) -> Result<Arc<ListingTable>, Stop> {
    let unread = |error: std::io::Error| Stop::Failed(format!("{}: {error}", path.display()));
    let full = path.canonicalize().map_err(unread)?;
    let compression = match kind.compression {
        Compression::None => FileCompressionType::UNCOMPRESSED,
        Compression::Gzip => FileCompressionType::GZIP,
        Compression::Zstd => FileCompressionType::ZSTD,
    };
    let json = || JsonFormat::default().with_schema_infer_max_rec(INFER_ROWS).with_file_compression_type(compression);
    let format: Arc<dyn FileFormat> = match kind.format {
        Format::Csv => {
            let format = CsvFormat::default().with_has_header(true).with_schema_infer_max_rec(INFER_ROWS);
            Arc::new(format.with_file_compression_type(compression))
        }
        Format::Lines => Arc::new(json()),
        Format::Values => Arc::new(json().with_newline_delimited(!is_array(&full, kind.compression).map_err(unread)?)),
        Format::Parquet if kind.compression != Compression::None => {
            return Err(Stop::Failed(format!("{}: Parquet is compressed inside, never around", path.display())));
        }
        Format::Parquet => Arc::new(ParquetFormat::default()),
    };
    let url = ListingTableUrl::parse(full.to_string_lossy())?;
    let options = ListingOptions::new(format).with_file_extension("");
    let schema = options.infer_schema(&context.state(), &url).await?;
    let config = ListingTableConfig::new(url).with_listing_options(options).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// Whether the first byte that says something opens an array.
fn is_array(path: &Path, compression: Compression) -> std::io::Result<bool> {
    use std::io::Read;
    let file = std::io::BufReader::new(open::bytes(path, compression, Default::default())?);
    for byte in file.bytes() {
        match byte? {
            byte if byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf) => {}
            byte => return Ok(byte == b'['),
        }
    }
    Ok(false)
}
