//! Parquet: rows of the columns that are asked for, row group by row group.
//!
//! A row group is entered at its first row, and rows before the one that is asked for are passed over page by page, so that
//! memory holds a few pages of each column, not a row group. Rows are assembled by the crate's own record reader, without Arrow.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::{ReaderIter, TreeBuilder};
use parquet::record::{Field, Row};
use parquet::schema::types::{SchemaDescPtr, SchemaDescriptor, Type};
use serde_json::Number;

use super::{Columns, Record, Records, Remarks};
use crate::error::{ShardError, nearest};
use crate::value::Value;

/// Rows that the reader takes from a column at once; each holds an image, so few.
const ROWS_AT_ONCE: usize = 16;

/// A Parquet file and the row group that is read.
pub(super) struct ParquetShard {
    path: PathBuf,
    key: Option<String>,
    file: SerializedFileReader<File>,
    /// The columns that are read.
    schema: SchemaDescPtr,
    /// The field that is there without bytes, because its column is left out.
    left_out: Option<String>,
    /// The first row of each group, and the number of rows.
    starts: Vec<u64>,
    open: Option<OpenGroup>,
    /// A group in which something could not be read, and why: what follows in it cannot be found.
    broken: Option<(usize, String)>,
    remarks: Remarks,
}

struct OpenGroup {
    group: usize,
    next: u64,
    rows: ReaderIter,
}

impl ParquetShard {
    /// Opens a file, and checks that it has the columns.
    pub(super) fn open(path: &Path, columns: &Columns) -> Result<Self, ShardError> {
        let name = path.display().to_string();
        let opened = File::open(path).map_err(ShardError::file("open", path))?;
        let file = guarded(|| SerializedFileReader::new(opened))
            .map_err(|error| ShardError::malformed(&name, "a whole Parquet file", error))?;
        let metadata = file.metadata();
        let root = metadata.file_metadata().schema_descr().root_schema();
        let (wanted, left_out) = wanted(root, columns, &name)?;
        let builder = Type::group_type_builder(root.name()).with_fields(wanted);
        let schema = builder.build().map_err(|error| ShardError::malformed(&name, "columns", error))?;
        let mut starts = vec![0];
        for group in metadata.row_groups() {
            let rows = u64::try_from(group.num_rows())
                .map_err(|_| ShardError::malformed(&name, "row groups of 0 rows or more", group.num_rows()))?;
            starts.push(starts[starts.len() - 1] + rows);
        }
        if starts[starts.len() - 1] == 0 {
            return Err(ShardError::malformed(&name, "at least one row", "none"));
        }
        Ok(Self {
            path: path.to_path_buf(),
            key: columns.key.clone(),
            schema: Arc::new(SchemaDescriptor::new(Arc::new(schema))),
            left_out,
            file,
            starts,
            open: None,
            broken: None,
            remarks: Remarks::default(),
        })
    }

    fn row(&mut self, row: u64) -> Result<Row, String> {
        let group = self.starts.partition_point(|&start| start <= row) - 1;
        if let Some((_, reason)) = self.broken.as_ref().filter(|(broken, _)| *broken == group) {
            return Err(reason.clone());
        }
        let read = self.row_of(group, row - self.starts[group]);
        if let Err(reason) = &read {
            self.open = None;
            self.broken = Some((group, format!("row group {group} is broken: {reason}")));
        }
        read
    }

    fn row_of(&mut self, group: usize, row: u64) -> Result<Row, String> {
        let mut open = match self.open.take() {
            Some(open) if open.group == group && open.next <= row => open,
            _ => {
                let rows = guarded(|| {
                    let reader = self.file.get_row_group(group)?;
                    TreeBuilder::new().with_batch_size(ROWS_AT_ONCE).as_iter(Arc::clone(&self.schema), &*reader)
                })?;
                OpenGroup { group, next: 0, rows }
            }
        };
        loop {
            let found = guarded(|| open.rows.next().transpose())?.ok_or("fewer rows than its footer says")?;
            open.next += 1;
            if open.next > row {
                self.open = Some(open);
                return Ok(found);
            }
        }
    }
}

/// Runs the reader, which panics on some files that are damaged; whoever brings such a file is told so.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("data that its reader cannot make sense of".into()),
    }
}

/// The columns at the root that are asked for and exist, but for those that are left out and hold nothing else that is asked for;
/// and the field for which one is left out.
fn wanted(root: &Type, columns: &Columns, name: &str) -> Result<(Vec<Arc<Type>>, Option<String>), ShardError> {
    let names: Vec<&str> = root.get_fields().iter().map(|field| field.name()).collect();
    let column = |path: &str| {
        let starts = std::iter::once(path).chain(path.match_indices('.').map(|(at, _)| &path[..at]));
        starts.into_iter().find_map(|start| names.iter().position(|name| *name == start))
    };
    let key = columns.key.iter().map(std::slice::from_ref);
    for group in columns.required.iter().map(Vec::as_slice).chain(key) {
        if !group.iter().any(|path| column(path).is_some()) {
            let expected: Vec<String> = group.iter().map(|path| format!("`{path}`")).collect();
            let near = group.first().map_or(String::new(), |path| nearest(path, names.iter().copied()));
            let expected = format!("a column {}", expected.join(" or "));
            return Err(ShardError::malformed(name, expected, format!("the columns {}{near}", names.join(", "))));
        }
    }
    let paths = columns.required.iter().flatten().chain(&columns.optional).chain(&columns.key);
    let kept = paths.filter(|path| !columns.left_out.contains(path));
    let mut places: Vec<usize> = kept.filter_map(|path| column(path)).collect();
    let left_out = columns.left_out.iter().find(|path| column(path).is_some_and(|place| !places.contains(&place)));
    places.sort_unstable();
    places.dedup();
    Ok((places.into_iter().map(|place| Arc::clone(&root.get_fields()[place])).collect(), left_out.cloned()))
}

impl Records for ParquetShard {
    fn rows(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    fn read(&mut self, row: u64, wanted: &dyn Fn(&str) -> bool) -> Result<Option<Record>, ShardError> {
        if self.key.is_none() && !wanted(&super::key_of(&self.path, row, None, &Value::Null)?) {
            return Ok(None);
        }
        let origin = super::origin(&self.path, row);
        let found = self.row(row).map_err(|reason| ShardError::malformed(&origin, "a row of Parquet", reason))?;
        let mut value = structure(found);
        if let (Some(name), Value::Struct(fields)) = (&self.left_out, &mut value) {
            fields.push((name.clone(), Value::Bytes(vec![])));
        }
        let key = super::key_of(&self.path, row, self.key.as_deref(), &value)?;
        Ok(wanted(&key).then_some(Record { key, origin, value }))
    }

    fn remarks(&self) -> &Remarks {
        &self.remarks
    }

    fn seeks(&self) -> bool {
        // A row group is passed from its first row on.
        false
    }

    fn blocks(&self) -> Vec<u64> {
        let mut starts = self.starts.clone();
        starts.pop();
        starts.dedup();
        starts
    }
}

fn structure(row: Row) -> Value {
    Value::Struct(row.into_columns().into_iter().map(|(name, field)| (name, value(field))).collect())
}

fn value(field: Field) -> Value {
    let real = |number: f64| Number::from_f64(number).map_or(Value::Null, Value::Number);
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::Bool(value),
        Field::Byte(value) => Value::Number(value.into()),
        Field::Short(value) => Value::Number(value.into()),
        Field::Int(value) => Value::Number(value.into()),
        Field::Long(value) => Value::Number(value.into()),
        Field::UByte(value) => Value::Number(value.into()),
        Field::UShort(value) => Value::Number(value.into()),
        Field::UInt(value) => Value::Number(value.into()),
        Field::ULong(value) => Value::Number(value.into()),
        Field::Float16(value) => real(f64::from(value.to_f32())),
        Field::Float(value) => real(f64::from(value)),
        Field::Double(value) => real(value),
        Field::Str(text) => Value::Text(text),
        Field::Bytes(bytes) => Value::Bytes(bytes.data().to_vec()),
        Field::Group(row) => structure(row),
        Field::ListInternal(list) => Value::List(list.elements().iter().cloned().map(value).collect()),
        // Maps, dates and decimals are no part of an example; they may be asked for as fields.
        other => Value::Text(other.to_string()),
    }
}
