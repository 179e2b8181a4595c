//! One text column of a parquet file, page by page. Never reads another column.

use std::fs::File;

use parquet::{
    basic::{Compression, Type},
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::{ByteArray, DataType},
    errors::ParquetError,
    file::{
        metadata::ParquetMetaData,
        reader::{FileReader, SerializedFileReader},
    },
    schema::types::SchemaDescriptor,
};

/// Rows read at a time; their bytes belong to the page, which is in memory anyway.
const ROWS: usize = 256;
/// What the library says of an encrypted file.
const ENCRYPTED: &str = "encrypted";

/// Why a file or its caller ended the reading.
#[derive(Debug)]
pub(super) enum RowError<E> {
    /// The file is not whole.
    Damaged(String),
    /// The file is whole, but cannot be read; for people.
    Refused {
        /// What is wrong.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The caller had enough.
    Caller(E),
}

impl<E> RowError<E> {
    fn refused(reason: String, remedy: &'static str) -> Self {
        Self::Refused { reason, remedy }
    }
}

impl<E> From<ParquetError> for RowError<E> {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::NYI(reason) => Self::refused(reason, "write it again in a common form, such as zstd"),
            other if other.to_string().contains(ENCRYPTED) => encrypted(),
            other => Self::Damaged(other.to_string()),
        }
    }
}

fn encrypted<E>() -> RowError<E> {
    RowError::refused("it is encrypted, which is not supported".to_owned(), "write it again without encryption")
}

/// Hands the text of each row in `column` to `row`, counted from 1; nulls come as empty.
pub(super) fn rows<E>(
    file: File,
    column: &str,
    row: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(), RowError<E>> {
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let index = find(schema, column)?;
    check(reader.metadata(), index)?;
    let mut rows = Rows { number: 0, max_level: 0, row };
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group)?;
        rows.max_level = group.metadata().column(index).column_descr().max_def_level();
        match group.get_column_reader(index)? {
            ColumnReader::ByteArrayColumnReader(values) => rows.texts(values)?,
            // As pandas writes a column in which every text is missing.
            ColumnReader::BoolColumnReader(values) => rows.nulls(values, || not_text(schema, column))?,
            ColumnReader::Int32ColumnReader(values) => rows.nulls(values, || not_text(schema, column))?,
            ColumnReader::Int64ColumnReader(values) => rows.nulls(values, || not_text(schema, column))?,
            ColumnReader::Int96ColumnReader(values) => rows.nulls(values, || not_text(schema, column))?,
            ColumnReader::FloatColumnReader(values) => rows.nulls(values, || not_text(schema, column))?,
            ColumnReader::DoubleColumnReader(values) => rows.nulls(values, || not_text(schema, column))?,
            ColumnReader::FixedLenByteArrayColumnReader(values) => rows.nulls(values, || not_text(schema, column))?,
        }
    }
    Ok(())
}

struct Rows<F> {
    number: u64,
    /// Definition level of a value that is there.
    max_level: i16,
    row: F,
}

impl<E, F: FnMut(u64, &[u8]) -> Result<(), E>> Rows<F> {
    fn texts(&mut self, mut values: ColumnReaderImpl<parquet::data_type::ByteArrayType>) -> Result<(), RowError<E>> {
        let (mut levels, mut texts) = (Vec::with_capacity(ROWS), Vec::<ByteArray>::with_capacity(ROWS));
        while let read @ 1.. = self.read(&mut values, &mut levels, &mut texts)? {
            let mut texts = texts.iter();
            for at in 0..read {
                let is_null = self.max_level > 0 && levels.get(at) != Some(&self.max_level);
                let text = if is_null { None } else { texts.next() };
                self.push(text.map_or(&[], ByteArray::data))?;
            }
        }
        Ok(())
    }

    /// A column of another type, which may hold nothing but nulls.
    fn nulls<T: DataType>(
        &mut self,
        mut values: ColumnReaderImpl<T>,
        refusal: impl Fn() -> RowError<E>,
    ) -> Result<(), RowError<E>> {
        let (mut levels, mut others) = (Vec::with_capacity(ROWS), Vec::with_capacity(ROWS));
        while let read @ 1.. = self.read(&mut values, &mut levels, &mut others)? {
            if !others.is_empty() {
                return Err(refusal());
            }
            (0..read).try_for_each(|_| self.push(&[]))?;
        }
        Ok(())
    }

    /// The next rows; how many they are.
    fn read<T: DataType>(
        &self,
        values: &mut ColumnReaderImpl<T>,
        levels: &mut Vec<i16>,
        found: &mut Vec<T::T>,
    ) -> Result<usize, ParquetError> {
        levels.clear();
        found.clear();
        let levels = (self.max_level > 0).then_some(levels);
        values.read_records(ROWS, levels, None, found).map(|(records, _, _)| records)
    }

    fn push(&mut self, text: &[u8]) -> Result<(), RowError<E>> {
        self.number += 1;
        (self.row)(self.number, text).map_err(RowError::Caller)
    }
}

/// Index of the leaf column that is called `name`, outside of any list, and that holds text or may hold nulls only.
fn find<E>(schema: &SchemaDescriptor, name: &str) -> Result<usize, RowError<E>> {
    let columns = schema.columns();
    let may_be_null = |index: &usize| columns[*index].max_def_level() > 0 && columns[*index].max_rep_level() == 0;
    let found = (0..columns.len()).find(|&index| columns[index].path().string() == name);
    found.filter(|index| is_text(schema, *index) || may_be_null(index)).ok_or_else(|| not_text(schema, name))
}

fn is_text(schema: &SchemaDescriptor, index: usize) -> bool {
    let column = schema.column(index);
    column.physical_type() == Type::BYTE_ARRAY && column.max_rep_level() == 0
}

/// Says that there is no text in the column `name`, and where there is.
fn not_text<E>(schema: &SchemaDescriptor, name: &str) -> RowError<E> {
    let path = |index: usize| schema.column(index).path().string();
    let all: Vec<String> = (0..schema.num_columns()).map(path).collect();
    let texts: Vec<String> = (0..schema.num_columns()).filter(|&index| is_text(schema, index)).map(path).collect();
    let there = if texts.is_empty() { "none".to_owned() } else { texts.join(", ") };
    let is_there = all.iter().any(|column| column == name);
    let problem = if is_there { format!("column {name} holds no text") } else { format!("no column {name}") };
    let reason = format!("{problem}; its columns are {}, those with text: {there}", all.join(", "));
    RowError::refused(reason, "set textField to one of them")
}

/// Makes sure that the column at `index` is neither encrypted nor compressed in a way that is not known.
fn check<E>(metadata: &ParquetMetaData, index: usize) -> Result<(), RowError<E>> {
    for group in metadata.row_groups() {
        let column = group.column(index);
        if column.crypto_metadata().is_some() {
            return Err(encrypted());
        }
        if column.compression() == Compression::LZO {
            let reason =
                format!("column {} is compressed with LZO, which is not supported", column.column_path().string());
            return Err(RowError::refused(reason, "write it again with zstd, snappy, gzip, LZ4 or Brotli"));
        }
    }
    Ok(())
}
