//! A sample: what the data hands to the model, before it is laid out.

use std::sync::Arc;

use ndarray::Array3;

/// One document.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Identifies the sample for good; its noise in a step is a function of (seed, step, this).
    pub id: u64,
    /// In reading order.
    pub segments: Vec<Segment>,
}

/// A stretch of one modality, and all that decides how its rows are treated.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Index into the model's modalities.
    pub modality: usize,
    /// How its rows see one another.
    pub attention: Attention,
    /// Whether it is given and not learned, such as a question, an image to be edited, or a mask of CM3: none of its ids is a
    /// target, and an image is clean and has no loss. What follows sees it as anything else.
    pub given: bool,
    /// Whether nothing that follows sees it, and what follows stands where it would stand without it: an image that is denoised
    /// beside a clean copy of it ([`Segment::with_clean_copy`]).
    pub hidden: bool,
    /// What its rows hold.
    pub content: Content,
}

/// How the rows of a segment see one another. All of them see the document before the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// A row sees those before it.
    Causal,
    /// A row sees the whole segment. Rows of ids then have no target, for they would see it.
    Bidirectional,
}

/// What a segment holds, by the objective of its modality.
#[derive(Clone, Debug)]
pub enum Content {
    /// Discrete ids below the size of the modality's vocabulary, markers such as BOS and BOI included.
    NextToken {
        /// In reading order.
        ids: Vec<u32>,
        /// `[rows, columns]` that they fill row by row, such as the codes of an image; `None` for ids that follow one another.
        grid: Option<[usize; 2]>,
    },
    /// One image. Its patches lie on the grid that follows from its size.
    Denoise(LatentImage),
}

/// The clean latents of one image.
#[derive(Clone, Debug)]
pub struct LatentImage {
    /// `[latent_channels, height, width]`
    pub x_0: Arc<Array3<f32>>,
    /// True when the image's own caption comes after it. Such an image is not noised beyond recognition
    /// (Transfusion, section 4.3.4).
    pub precedes_caption: bool,
}

impl Sample {
    /// `[latent_channels, height, width]` of its first image that is to be denoised; a sequence has images of one size.
    pub fn latent_shape(&self) -> Option<[usize; 3]> {
        self.segments.iter().find_map(|segment| match &segment.content {
            Content::Denoise(image) => Some(image.x_0.dim().into()),
            Content::NextToken { .. } => None,
        })
    }
}

impl Segment {
    /// Ids that follow one another: text, code, speech units.
    pub fn tokens(modality: usize, ids: Vec<u32>) -> Self {
        Self::new(modality, Attention::Causal, Content::NextToken { ids, grid: None })
    }

    /// Ids on a grid, learned one by one from left to right and top to bottom: the codes of an image.
    pub fn codes(modality: usize, ids: Vec<u32>, grid: [usize; 2]) -> Self {
        Self::new(modality, Attention::Causal, Content::NextToken { ids, grid: Some(grid) })
    }

    /// An image to be denoised, whose patches all see one another.
    pub fn image(modality: usize, image: LatentImage) -> Self {
        Self::new(modality, Attention::Bidirectional, Content::Denoise(image))
    }

    fn new(modality: usize, attention: Attention, content: Content) -> Self {
        Self { modality, attention, given: false, hidden: false, content }
    }

    /// The same, given or learned.
    #[must_use]
    pub fn with_given(self, given: bool) -> Self {
        Self { given, ..self }
    }

    /// The segment as it is learned, hidden from what follows, and a copy that is given and that what follows sees: how BAGEL
    /// (2505.14683) learns an image inside a document. Both stand at the same positions. Nothing is said of the hidden one
    /// later, so it is noised as an image is that ends its document.
    pub fn with_clean_copy(self) -> [Self; 2] {
        let mut learned = Self { hidden: true, ..self.clone() };
        if let Content::Denoise(image) = &mut learned.content {
            image.precedes_caption = false;
        }
        [learned, self.with_given(true)]
    }

    /// The ids of a next-token segment.
    pub fn ids(&self) -> Option<&[u32]> {
        match &self.content {
            Content::NextToken { ids, .. } => Some(ids),
            Content::Denoise(_) => None,
        }
    }
}
