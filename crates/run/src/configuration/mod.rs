//! Configuration files: a TOML file, changed by `--set key=value`, becomes a checked struct, and is written back complete.
//!
//! The structs themselves belong to the crates that they configure; this module knows none of their keys. What it adds to
//! serde is where things went wrong: every error names the whole key path and the file and line, or the `--set`, that it
//! came from.

mod changes;
mod explain;
mod load;
mod overrides;
mod renamed;
mod save;

pub use changes::changes;
pub(crate) use changes::differences;
pub use load::{load, parse};
pub(crate) use overrides::quoted;
pub(crate) use renamed::listed;
pub use renamed::renamed_keys;
pub use save::save;
