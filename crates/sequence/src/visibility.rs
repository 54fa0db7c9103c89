//! Who may see whom. Nothing else in the project decides this.
//!
//! ```text
//! may_attend(i, j)  =  visible_from[i] ≤ order[j] < visible_until[i]
//! ```
//!
//! | row | sees from | sees until |
//! |---|---|---|
//! | of a causal segment | the start of its document | itself |
//! | of a bidirectional segment, such as an image | the start of its document | the end of its segment |
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

    /// A row of a causal segment: it sees its document up to itself.
    pub fn causal(order: i32, document_start: i32) -> Self {
        Self { order, from: document_start, until: order + 1 }
    }

    /// A row of a bidirectional segment: it sees its document up to the end of the segment.
    pub fn bidirectional(order: i32, document_start: i32, segment_end: i32) -> Self {
        Self { order, from: document_start, until: segment_end }
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
