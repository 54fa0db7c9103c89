//! Raw examples from shards, in an order that ranks share and a cursor resumes.
//!
//! - [`list`]: which files a pattern means.
//! - [`containers`]: a shard as numbered records, opened at any row: tar, Parquet, JSON lines, a JSON array; and
//!   [`IndexedShard`](containers::IndexedShard), which is opened again without another pass.
//! - [`layouts`]: from a record to an [`Example`]: captioned images, texts, interleaved documents, edits, conversations.
//! - [`stream`]: the endless order over all shards, ranks, the held-out split, the cursor, and reading ahead.
//!
//! An example has images as the bytes of their files and texts in reading order. Nothing here decodes an image, knows a token
//! or prints, and nothing panics on what a file holds: a broken shard or example is skipped, counted and named.

pub mod containers;
mod error;
pub mod example;
pub mod layouts;
pub mod list;
pub mod stream;
pub mod value;

pub use containers::{Record, Records, Remarks};
pub use error::ShardError;
pub use example::{EncodedImage, Example, Part, Turn};
pub use layouts::{Layout, Reading};
pub use list::ShardList;
pub use stream::{Counters, Cursor, Numbered, OrderConfig, Place, RowPlace, Rows, ShardStream, Speed, Split};
pub use value::Value;
