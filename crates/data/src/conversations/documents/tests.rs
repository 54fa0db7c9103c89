//! What documents are made of conversations, and how many rows they are reckoned with.

use interfuse_sequence::{Content, Modality, Objective, PositionScheme};
use interfuse_vae::PixelCodec;

use super::super::ConversationSet;
use super::*;
use crate::images::ImageShape;

const SHAPE: ImageShape = ImageShape { channels: 3, height: 16, width: 16 };

fn documents(source: &str, dropout: [f64; 2]) -> (ConversationDocuments, SequenceFormat) {
    let [instruction, context] = dropout;
    let toml = format!("instruction_dropout = {instruction:?}\ncontext_dropout = {context:?}\nsource = {source}");
    let config: ConversationsConfig = toml::from_str(&toml).unwrap();
    config.validate("key", SHAPE).unwrap();
    let set = ConversationSet::open(&config, SHAPE.into(), "key").unwrap();
    let tokenizer = Tokenizer::train(set.texts(500), 300).unwrap();
    made_of(set.train, tokenizer, config, false)
}

fn made_of(
    conversations: Arc<dyn Conversations>,
    tokenizer: Tokenizer,
    config: ConversationsConfig,
    clean_copies: bool,
) -> (ConversationDocuments, SequenceFormat) {
    let codec = Arc::new(PixelCodec::new(3).unwrap());
    let parts =
        ConversationParts { conversations, tokenizer, codec, first_code: None, max_text_tokens: 64, clean_copies };
    let of = |name: &str, objective, tower| Modality { name: name.into(), objective, tower };
    let format = SequenceFormat {
        modalities: vec![of("image", Objective::Denoise, 0), of("text", Objective::NextToken, 1)],
        latent_shape: [3, 16, 16],
        patch_size: 4,
        positions: PositionScheme::Axial,
    };
    (ConversationDocuments::new(parts, DocumentLanes { captions: 1, images: 0 }, config, 5), format)
}

fn given_images(sample: &Sample) -> Vec<bool> {
    let images = sample.segments.iter().filter(|segment| matches!(segment.content, Content::Denoise(_)));
    images.map(|segment| segment.given).collect()
}

#[test]
fn a_document_has_the_rows_that_were_reckoned_with() {
    for source in ["{ kind = 'shape-edits', examples = 40 }", "{ kind = 'shape-questions', examples = 40 }"] {
        let (documents, format) = documents(source, [0.0, 0.0]);
        let reckoned = documents.rows(&format);
        for (index, rows) in reckoned.iter().enumerate() {
            assert_eq!(&format.rows_of(&documents.plain_document(index).unwrap()), rows, "{source}, {index}");
        }
    }
}

/// Conversations of all orders of one to four parts, of which the first are the user's or none.
struct AllOrders;

impl Conversations for AllOrders {
    fn len(&self) -> usize {
        60
    }

    fn name(&self, index: usize) -> String {
        index.to_string()
    }

    fn outline(&self, index: usize) -> Result<Vec<Turn<()>>, DataError> {
        with_images(self.turns(index)?, |_| Ok(()))
    }

    fn turns(&self, index: usize) -> Result<Vec<Turn>, DataError> {
        let image = || TurnPart::Image(Image::new(Array3::zeros((3, 16, 16))).unwrap());
        let part = |bit| if index >> bit & 1 == 0 { image() } else { TurnPart::Text("some words".into()) };
        let turn = |speaker, parts| Turn { speaker, parts };
        let of_model = turn(Speaker::Model, (0..1 + index % 4).map(part).collect());
        Ok(match index % 3 {
            0 => vec![of_model],
            1 => vec![turn(Speaker::User, vec![part(4), part(5)]), of_model],
            _ => vec![of_model.clone(), turn(Speaker::User, vec![part(5)]), of_model],
        })
    }
}

#[test]
fn clean_copies_are_reckoned_with() {
    let config: ConversationsConfig = toml::from_str("source = { kind = 'shape-edits' }").unwrap();
    let tokenizer = Tokenizer::train(["some words"].into_iter(), 262).unwrap();
    let of = |clean_copies| made_of(Arc::new(AllOrders), tokenizer.clone(), config.clone(), clean_copies);
    let ((plain, format), (copied, _)) = (of(false), of(true));
    let reckoned = copied.rows(&format);
    let mut more = 0;
    for (index, rows) in reckoned.iter().enumerate() {
        assert_eq!(&format.rows_of(&copied.plain_document(index).unwrap()), rows, "{index}");
        more += rows[0] - format.rows_of(&plain.plain_document(index).unwrap())[0];
    }
    assert_eq!(reckoned.len(), 60);
    assert!(more > 0);
}

#[test]
fn an_edit_loses_its_words_or_all_that_was_given() {
    let source = "{ kind = 'shape-edits', examples = 40 }";
    let length = |dropout| {
        let (mut documents, _) = documents(source, dropout);
        let sample = documents.document(3).unwrap();
        let ids: usize = sample.segments.iter().filter_map(|segment| segment.ids()).map(<[u32]>::len).sum();
        (given_images(&sample), ids)
    };
    let (whole, words) = length([0.0, 0.0]);
    assert_eq!(whole, [true, false]);
    let (wordless, markers) = length([1.0, 0.0]);
    assert_eq!(wordless, [true, false]);
    // BOS BOI, EOI EOS, BOI, EOI EOS.
    assert!(markers == 7 && words > markers, "{markers} of {words}");
    assert_eq!(length([0.0, 1.0]), (vec![false], 2), "BOS BOI [image]");
}

#[test]
fn a_question_loses_nothing_and_only_its_answer_is_learned() {
    let source = "{ kind = 'shape-questions', examples = 40 }";
    let (mut documents, _) = documents(source, [0.5, 0.5]);
    for number in 0..20 {
        let sample = documents.document(number).unwrap();
        assert_eq!(given_images(&sample), [true]);
        let last = sample.segments.last().unwrap();
        assert!(!last.given && sample.segments[..3].iter().all(|segment| segment.given));
    }
}

#[test]
fn the_same_number_is_the_same_document_whether_latents_were_kept_or_not() {
    let source = "{ kind = 'shape-edits', examples = 40 }";
    let (mut documents, _) = documents(source, [0.2, 0.2]);
    let of = |sample: &Sample| format!("{:?}", sample.segments);
    let first: Vec<String> = (0..6).map(|number| of(&documents.document(number).unwrap())).collect();
    let again: Vec<String> = (0..6).map(|number| of(&documents.document(number).unwrap())).collect();
    assert_eq!(first, again);
}
