//! One text column of a parquet file, page by page. Never reads another column.

use std::fs::File;

use parquet::{
    basic::Type,
    column::reader::ColumnReader,
    data_type::ByteArray,
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
    schema::types::SchemaDescriptor,
};

/// Rows read at a time; their bytes belong to the page, which is in memory anyway.
const ROWS: usize = 256;

/// Why a file or its caller ended the reading.
#[derive(Debug)]
pub(super) enum RowError<E> {
    /// The file is not what it should be; for people.
    File(String),
    /// The caller had enough.
    Caller(E),
}

/// Hands the text of each row in `column` to `row`, counted from 1; nulls come as empty.
pub(super) fn rows<E>(
    file: File,
    column: &str,
    row: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(), RowError<E>> {
    let damaged = |error: ParquetError| RowError::File(format!("not a whole parquet file ({error}); fetch it again"));
    let reader = SerializedFileReader::new(file).map_err(damaged)?;
    let index = text_column(reader.metadata().file_metadata().schema_descr(), column).map_err(RowError::File)?;
    let mut rows = Rows { number: 0, row };
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(damaged)?;
        let max_level = group.metadata().column(index).column_descr().max_def_level();
        let ColumnReader::ByteArrayColumnReader(mut values) = group.get_column_reader(index).map_err(damaged)? else {
            return Err(RowError::File(format!("column {column} changes its type between row groups; write it again")));
        };
        let (mut levels, mut texts) = (Vec::with_capacity(ROWS), Vec::<ByteArray>::with_capacity(ROWS));
        loop {
            levels.clear();
            texts.clear();
            let levels_wanted = (max_level > 0).then_some(&mut levels);
            let (read, _, _) = values.read_records(ROWS, levels_wanted, None, &mut texts).map_err(damaged)?;
            if read == 0 {
                break;
            }
            let mut texts = texts.iter();
            for at in 0..read {
                let is_null = max_level > 0 && levels.get(at) != Some(&max_level);
                let text = if is_null { None } else { texts.next() };
                rows.push(text.map_or(&[], ByteArray::data)).map_err(RowError::Caller)?;
            }
        }
    }
    Ok(())
}

struct Rows<F> {
    number: u64,
    row: F,
}

impl<E, F: FnMut(u64, &[u8]) -> Result<(), E>> Rows<F> {
    fn push(&mut self, text: &[u8]) -> Result<(), E> {
        self.number += 1;
        (self.row)(self.number, text)
    }
}

/// Index of the leaf column that is called `name` and holds text outside of any list.
fn text_column(schema: &SchemaDescriptor, name: &str) -> Result<usize, String> {
    let columns = schema.columns();
    let is_text =
        |index: &usize| columns[*index].physical_type() == Type::BYTE_ARRAY && columns[*index].max_rep_level() == 0;
    let path = |index: usize| columns[index].path().string();
    let found = (0..columns.len()).find(|&index| path(index) == name);
    if let Some(index) = found.filter(is_text) {
        return Ok(index);
    }
    let texts: Vec<String> = (0..columns.len()).filter(is_text).map(path).collect();
    let there = if texts.is_empty() { "none".to_owned() } else { texts.join(", ") };
    let problem = if found.is_some() { format!("column {name} holds no text") } else { format!("no column {name}") };
    let all: Vec<String> = (0..columns.len()).map(path).collect();
    Err(format!(
        "{problem}; its columns are {}, those with text: {there}: set textField to one of them",
        all.join(", ")
    ))
}
