//! What a tar says of its rows beside their images, heard in the pass in which its headers are read.

use std::io::{self, Read};
use std::path::Path;

use super::{Fault, Fields, content, field, named_record};
use crate::containers::See;
use crate::error::ShardError;
use crate::example::is_image;
use crate::value::Value;

/// Collects the members of the row that the pass stands in, and tells of each row once the next one begins.
pub(super) struct Described<'a> {
    path: &'a Path,
    see: Option<See<'a>>,
    row: Option<OpenRow>,
}

struct OpenRow {
    row: u64,
    key: String,
    fields: Result<Fields, ShardError>,
}

impl<'a> Described<'a> {
    /// Of a tar; nothing is read of its members where nobody listens.
    pub(super) fn new(path: &'a Path, see: Option<See<'a>>) -> Self {
        Self { path, see, row: None }
    }

    /// A member of a row, which is read unless it is an image.
    ///
    /// # Errors
    ///
    /// When the tar ends within it. A member that makes no sense is an error of its row.
    pub(super) fn member<R: Read>(
        &mut self,
        row: u64,
        (key, suffix): (String, String),
        entry: &mut tar::Entry<'_, R>,
    ) -> io::Result<()> {
        if self.see.is_none() {
            return Ok(());
        }
        if self.row.as_ref().is_none_or(|open| open.row != row) {
            self.tell();
            self.row = Some(OpenRow { row, key, fields: Ok(vec![]) });
        }
        let Some(OpenRow { fields, .. }) = &mut self.row else { return Ok(()) };
        let value = match is_image(&suffix) {
            true => Ok(Value::Bytes(vec![])),
            // Nobody knows the length of a row before the next one begins; a header's claim is no reason to set memory apart.
            false => content(entry, &suffix, 0).and_then(|bytes| field(&suffix, bytes)),
        };
        match (value, &mut *fields) {
            (Err(Fault::Read(error)), _) => return Err(error),
            (Err(fault), Ok(_)) => *fields = Err(fault.of(self.path, row)),
            (Ok(value), Ok(fields)) => fields.push((suffix, value)),
            (_, Err(_)) => {}
        }
        Ok(())
    }

    /// Tells of the last row, if it is among those that are whole.
    pub(super) fn end(mut self, rows: u64) {
        self.row = self.row.take().filter(|open| open.row < rows);
        self.tell();
    }

    fn tell(&mut self) {
        if let (Some(OpenRow { row, key, fields }), Some(see)) = (self.row.take(), &mut self.see) {
            see(row, fields.map(|fields| named_record(self.path, key, fields)));
        }
    }
}
