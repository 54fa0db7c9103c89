//! Segments of a document out of what it holds, with the markers between them.
//!
//! ```text
//! BOS text BOI [image] EOI text BEGIN [units of speech] END text EOS
//! ```
//!
//! Markers are rows of text. BOI and EOI are the tokenizer's; the markers of speech are ids of their own beyond the tokenizer's,
//! because no tokenizer in use has them.

use std::sync::Arc;

use interfuse_sequence::{LatentImage, Segment};
use ndarray::Array3;
use serde::{Deserialize, Serialize};

use crate::text::SpecialTokens;

/// Which ids of a vocabulary are for speech: a marker behind the tokenizer's ids, and behind the codes of images another and
/// the units. Where the markers lie so, what may follow is always a range of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitIds {
    /// Opens a stretch of speech; the first id beyond the tokenizer's.
    pub begin: u32,
    /// Closes it; unit 0 is the id after it.
    pub end: u32,
    /// How many units there are.
    pub count: usize,
}

impl UnitIds {
    /// The id of a unit.
    pub fn id(&self, unit: u32) -> u32 {
        self.end + 1 + unit
    }

    /// Ids that the vocabulary needs, all those before units included.
    pub fn needed(&self) -> usize {
        self.end as usize + 1 + self.count
    }
}

/// Something that a document holds.
pub(crate) enum Element {
    /// Ids of the tokenizer.
    Text(Vec<u32>),
    /// Latents, or codes, of an image. `[C, H, W]`
    Image(Array3<f32>),
    /// Units of speech.
    Units(Vec<u32>),
}

/// An element of a document, and whether it is given or learned.
pub(crate) struct Piece {
    pub(crate) element: Element,
    /// See [`Segment::given`]; the markers around an element are as it is.
    pub(crate) given: bool,
}

impl From<Element> for Piece {
    fn from(element: Element) -> Self {
        Self { element, given: false }
    }
}

/// What decides the segments of a document beside what it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Assembly {
    /// The tokenizer's markers.
    pub(crate) special: SpecialTokens,
    /// The lane of text and markers.
    pub(crate) text: usize,
    /// How images become segments, where there is a lane for them.
    pub(crate) images: Option<ImageLane>,
    /// The lane of speech and its ids.
    pub(crate) speech: Option<(usize, UnitIds)>,
}

/// What images become.
#[derive(Clone, Copy, Debug)]
pub struct ImageLane {
    /// The lane of images.
    pub lane: usize,
    /// Where latents are ids of codes, the id of code 0.
    pub first_code: Option<u32>,
    /// See [`crate::DocumentConfig::clean_copies`].
    pub clean_copies: bool,
}

impl ImageLane {
    /// How often the rows of an image are in a document, by whether it is given and whether anything follows it.
    pub(crate) fn copies(self, given: bool, is_followed: bool) -> usize {
        1 + usize::from(self.clean_copies && !given && is_followed)
    }
}

/// How a document ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With EOS.
    Closed,
    /// With its last element, because the document was cut there; nothing is said of what would follow.
    Open,
}

impl Assembly {
    /// The segments of what a document holds, in reading order, all of it learned.
    pub(crate) fn segments(&self, elements: Vec<Element>, ending: Ending) -> Vec<Segment> {
        self.segments_of(elements.into_iter().map(Piece::from).collect(), ending)
    }

    /// The segments of what a document holds, in reading order.
    pub(crate) fn segments_of(&self, pieces: Vec<Piece>, ending: Ending) -> Vec<Segment> {
        let first = pieces.first().is_some_and(|piece| piece.given);
        let mut run = Run { lane: self.text, given: first, ids: vec![self.special.bos], segments: vec![] };
        let count = pieces.len();
        for (place, Piece { element, given }) in pieces.into_iter().enumerate() {
            // An image that stands behind something is generated after it, whatever follows.
            let precedes_caption = place == 0 && count > 1;
            let is_followed = place + 1 < count;
            // What there is no lane for is made by nobody.
            let between = match element {
                Element::Text(ids) => {
                    run.extend(ids, given);
                    None
                }
                Element::Image(latents) => self.images.map(|images| {
                    let SpecialTokens { boi, eoi, .. } = self.special;
                    let segment = image(images, latents, precedes_caption).with_given(given);
                    // What would follow the last image is the end alone, which no image is needed for.
                    let segments = match images.copies(given, is_followed) {
                        1 => vec![segment],
                        _ => segment.with_clean_copy().into(),
                    };
                    ([boi, eoi], segments)
                }),
                Element::Units(units) => self.speech.map(|(lane, ids)| {
                    let units = units.into_iter().map(|unit| ids.id(unit)).collect();
                    ([ids.begin, ids.end], vec![Segment::tokens(lane, units).with_given(given)])
                }),
            };
            if let Some(([begin, end], segments)) = between {
                run.extend([begin], given);
                run.close();
                run.segments.extend(segments);
                run.extend([end], given);
            }
        }
        match ending {
            Ending::Closed => run.ids.push(self.special.eos),
            // EOI is read and never said, so behind an image it would be a row for nothing; END tells that speech is over.
            Ending::Open if run.ids == [self.special.eoi] => return run.segments,
            Ending::Open => {}
        }
        run.close();
        run.segments
    }
}

/// Ids of text, of which a segment is made where something else follows or what is given meets what is learned.
struct Run {
    lane: usize,
    given: bool,
    ids: Vec<u32>,
    segments: Vec<Segment>,
}

impl Run {
    fn extend(&mut self, ids: impl IntoIterator<Item = u32>, given: bool) {
        if given != self.given {
            self.close();
            self.given = given;
        }
        self.ids.extend(ids);
    }

    fn close(&mut self) {
        if !self.ids.is_empty() {
            self.segments.push(Segment::tokens(self.lane, std::mem::take(&mut self.ids)).with_given(self.given));
        }
    }
}

fn image(ImageLane { lane, first_code, .. }: ImageLane, latents: Array3<f32>, precedes_caption: bool) -> Segment {
    let Some(first) = first_code else {
        return Segment::image(lane, LatentImage { x_0: Arc::new(latents), precedes_caption });
    };
    let (_, rows, columns) = latents.dim();
    Segment::codes(lane, latents.iter().map(|&code| first + code as u32).collect(), [rows, columns])
}

#[cfg(test)]
mod tests {
    use super::*;
    use interfuse_sequence::Content;

    const ASSEMBLY: Assembly = Assembly {
        special: SpecialTokens { bos: 0, eos: 1, boi: 2, eoi: 3, pad: 4 },
        text: 2,
        images: Some(ImageLane { lane: 0, first_code: Some(11), clean_copies: false }),
        speech: Some((1, UnitIds { begin: 10, end: 15, count: 3 })),
    };

    const DENOISED: ImageLane = ImageLane { lane: 0, first_code: None, clean_copies: false };

    /// Lane and ids of each segment.
    fn shown(elements: Vec<Element>, ending: Ending) -> Vec<(usize, Vec<u32>)> {
        let segments = ASSEMBLY.segments(elements, ending);
        segments.iter().map(|segment| (segment.modality, segment.ids().unwrap_or_default().to_vec())).collect()
    }

    fn image() -> Element {
        Element::Image(Array3::from_shape_vec((1, 1, 2), vec![0.0, 3.0]).unwrap())
    }

    #[test]
    fn every_kind_stands_between_its_markers() {
        let triple = vec![image(), Element::Text(vec![7, 8]), Element::Units(vec![2, 0])];
        let expected =
            [(2, vec![0, 2]), (0, vec![11, 14]), (2, vec![3, 7, 8, 10]), (1, vec![18, 16]), (2, vec![15, 1])];
        assert_eq!(shown(triple, Ending::Closed), expected);
        assert_eq!(shown(vec![Element::Text(vec![7])], Ending::Closed), [(2, vec![0, 7, 1])]);
    }

    #[test]
    fn what_is_given_is_parted_from_what_is_learned() {
        let piece = |element, given| Piece { element, given };
        let edit = vec![
            piece(image(), true),
            piece(Element::Text(vec![7, 8, 1]), true),
            piece(image(), false),
            piece(Element::Text(vec![9]), false),
        ];
        let segments = ASSEMBLY.segments_of(edit, Ending::Closed);
        let shown: Vec<_> =
            segments.iter().map(|segment| (segment.given, segment.ids().unwrap_or_default().to_vec())).collect();
        let expected = [
            (true, vec![0, 2]),
            (true, vec![11, 14]),
            (true, vec![3, 7, 8, 1]),
            (false, vec![2]),
            (false, vec![11, 14]),
            (false, vec![3, 9, 1]),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn an_open_end_says_nothing_of_what_would_follow() {
        assert_eq!(shown(vec![image()], Ending::Open), [(2, vec![0, 2]), (0, vec![11, 14])]);
        let speech = shown(vec![Element::Units(vec![1])], Ending::Open);
        assert_eq!(speech, [(2, vec![0, 10]), (1, vec![17]), (2, vec![15])]);
    }

    #[test]
    fn an_image_knows_whether_anything_is_said_of_it_later() {
        let latents = || Element::Image(Array3::zeros((1, 2, 2)));
        let denoised = Assembly { images: Some(DENOISED), ..ASSEMBLY };
        let precedes = |elements| {
            let segments = denoised.segments(elements, Ending::Closed);
            segments.iter().find_map(|segment| match &segment.content {
                Content::Denoise(image) => Some(image.precedes_caption),
                Content::NextToken { .. } => None,
            })
        };
        assert_eq!(precedes(vec![latents(), Element::Text(vec![7])]), Some(true));
        assert_eq!(precedes(vec![Element::Text(vec![7]), latents()]), Some(false));
    }

    #[test]
    fn a_learned_image_that_something_follows_has_a_clean_copy() {
        let copied = Assembly { images: Some(ImageLane { clean_copies: true, ..DENOISED }), ..ASSEMBLY };
        let latents = || Element::Image(Array3::zeros((1, 2, 2)));
        let piece = |element, given| Piece { element, given };
        let document = || {
            let [given, first, second, last] = [true, false, false, false].map(|given| piece(latents(), given));
            vec![given, piece(Element::Text(vec![7]), true), first, piece(Element::Text(vec![8]), false), second, last]
        };
        // Hidden, given and before its caption, of each image.
        let images = |assembly: &Assembly| -> Vec<[bool; 3]> {
            let segments = assembly.segments_of(document(), Ending::Closed);
            let of = |segment: &Segment| match &segment.content {
                Content::Denoise(image) => Some([segment.hidden, segment.given, image.precedes_caption]),
                Content::NextToken { .. } => None,
            };
            segments.iter().filter_map(of).collect()
        };
        let [given, hidden, copy, learned] =
            [[false, true, true], [true, false, false], [false, true, false], [false, false, false]];
        assert_eq!(images(&copied), [given, hidden, copy, hidden, copy, learned]);
        let plain = Assembly { images: Some(DENOISED), ..ASSEMBLY };
        assert_eq!(images(&plain), [given, learned, learned, learned]);
        // The ids are the same.
        let ids = |assembly: &Assembly| {
            let segments = assembly.segments_of(document(), Ending::Closed);
            segments.iter().filter_map(|segment| segment.ids().map(<[u32]>::to_vec)).collect::<Vec<_>>()
        };
        assert_eq!(ids(&copied), ids(&plain));
    }

    #[test]
    fn an_image_before_its_caption_is_noised_as_any_where_it_has_a_copy() {
        let copied = Assembly { images: Some(ImageLane { clean_copies: true, ..DENOISED }), ..ASSEMBLY };
        let latents = Element::Image(Array3::zeros((1, 2, 2)));
        let segments = copied.segments(vec![latents, Element::Text(vec![7])], Ending::Closed);
        let hidden = segments.iter().find(|segment| segment.hidden).unwrap();
        let Content::Denoise(image) = &hidden.content else { panic!("an image") };
        assert!(!image.precedes_caption && !hidden.given);
    }
}
