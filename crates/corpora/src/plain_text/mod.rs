//! Documentation to plain text, section by section.

mod entities;
mod html;
mod pod;

pub use html::html_sections;
pub use pod::pod_sections;
