//! Who may see whom. Nothing else in the project decides this.
//!
//! ```text
//! may_attend(i, j)  =  visible_from[i] ≤ order[j] < visible_until[i]   and   order[i] < hidden_from[j]
//! ```
//!
//! | row | sees from | sees until | is hidden from |
//! |---|---|---|---|
//! | of a causal segment | the start of its document | itself | nobody |
//! | of a bidirectional segment, such as an image | the start of its document | the end of its segment | nobody |
//! | of a hidden segment, such as an image that a clean copy follows | as of its kind | as of its kind | the end of its segment on |
//! | padding | nothing, and nobody sees it | | |
//!
//! Without hidden segments this is the mask of Transfusion (2408.11039, section 3): causal everywhere, or within one image.
//! With them it is BAGEL's (2505.14683): what follows an image sees a clean copy of it and never its noise.

/// The four integers of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visibility {
    /// The row's place in the reading order of its sequence.
    pub order: i32,
    /// The first place that the row sees.
    pub from: i32,
    /// One past the last place that the row sees.
    pub until: i32,
    /// The first place that does not see the row, however far it sees; [`Visibility::NOBODY`] for a row that is not hidden.
    pub hidden_from: i32,
}

impl Visibility {
    /// [`Visibility::hidden_from`] of a row that is hidden from nobody: no row stands there.
    pub const NOBODY: i32 = i32::MAX;

    /// A row of padding: it stands beyond every range and its own range is empty.
    pub const PADDING: Self = Self { order: i32::MAX, from: 0, until: 0, hidden_from: Self::NOBODY };

    /// A row of a causal segment: it sees its document up to itself.
    pub fn causal(order: i32, document_start: i32) -> Self {
        Self { order, from: document_start, until: order + 1, hidden_from: Self::NOBODY }
    }

    /// A row of a bidirectional segment: it sees its document up to the end of the segment.
    pub fn bidirectional(order: i32, document_start: i32, segment_end: i32) -> Self {
        Self { order, from: document_start, until: segment_end, hidden_from: Self::NOBODY }
    }

    /// The same row, hidden from all rows from `place` on.
    #[must_use]
    pub fn hidden(self, place: i32) -> Self {
        Self { hidden_from: place, ..self }
    }

    /// Whether this row may attend to `other`.
    pub fn may_attend(&self, other: &Self) -> bool {
        self.from <= other.order && other.order < self.until && self.order < other.hidden_from
    }

    /// Whether this row is padding.
    pub fn is_padding(&self) -> bool {
        *self == Self::PADDING
    }
}
