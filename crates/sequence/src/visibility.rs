//! Who may see whom. Nothing else in the project decides this.
//!
//! ```text
//! may_attend(i, j)  =  visible_from[i] ≤ order[j] < visible_until[i]
//! ```
//!
//! | row | sees from | sees until |
//! |---|---|---|
//! | token | the start of its document | itself |
//! | patch of an image | the start of its document | the end of its image |
//! | padding | nothing, and nobody sees it | |
//!
//! This is the mask of Transfusion (2408.11039, section 3): causal everywhere, or within one image.

/// The three integers of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visibility {
    /// The row's place in the reading order of its sequence.
    pub order: i32,
    /// The first place that the row sees.
    pub from: i32,
    /// One past the last place that the row sees.
    pub until: i32,
}

impl Visibility {
    /// A row of padding: it stands beyond every range and its own range is empty.
    pub const PADDING: Self = Self { order: i32::MAX, from: 0, until: 0 };

    /// A token: it sees its document up to itself.
    pub fn causal(order: i32, document_start: i32) -> Self {
        Self { order, from: document_start, until: order + 1 }
    }

    /// A patch: it sees its document up to the end of its image.
    pub fn within_image(order: i32, document_start: i32, image_end: i32) -> Self {
        Self { order, from: document_start, until: image_end }
    }

    /// Whether this row may attend to `other`.
    pub fn may_attend(&self, other: &Self) -> bool {
        self.from <= other.order && other.order < self.until
    }

    /// Whether this row is padding.
    pub fn is_padding(&self) -> bool {
        *self == Self::PADDING
    }
}
