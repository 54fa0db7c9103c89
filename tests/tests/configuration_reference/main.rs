//! `docs/configuration.md` is what the settings themselves say: it is generated here, and compared.
//!
//! Words come from the doc comments (`source.rs`); names of keys, defaults and accepted words from the settings as serde reads
//! and writes them (`settings.rs`); `tables.rs` lists which tables there are, and `page.rs` puts them on a page.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

mod page;
mod settings;
mod source;
mod tables;

use std::path::Path;

#[test]
fn the_page_says_what_the_settings_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let expected = page::page(&source::Sources::below(&root.join("crates")));
    let path = root.join("docs/configuration.md");
    if std::env::var_os("INTERFUSE_WRITE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "docs/configuration.md is not what the settings say; INTERFUSE_WRITE_DOCS=1 cargo test --workspace --test \
         configuration_reference writes it. The first line that differs, found and expected: {differs:?}"
    );
}
