//! Text in the place of masks, by a model that learned the causally masked objective of CM3 (2201.07520).
//!
//! ```text
//! asked:   alpha <mask> delta
//! read:    BOS alpha <mask:0> delta <mask:0>
//! written:  beta gamma EOS
//! ```
//!
//! In training only the last span of a document has an end that is learned, because the mask before another span is read and
//! never predicted. So several masks are filled one after the other from the left, each as the only one of its document: what is
//! filled stands before it, and behind it what stands before the next mask.

use interfuse_checkpoint::Pretrained;
use interfuse_image_tower::NoiseKey;
use rand_chacha::ChaCha8Rng;

use crate::caption::ends_text;
use crate::config::SamplingConfig;
use crate::error::SamplingError;
use crate::session::Session;
use crate::token::TokenChoice;
use crate::write::Decoder;

/// What stands in a text for what is to be filled in.
pub const MASK: &str = "<mask>";

/// A text whose masks are filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Infilled {
    /// The whole text.
    pub text: String,
    /// What stands where the masks stood.
    pub spans: Vec<String>,
    /// The limit in tokens at which some span was cut, where it did not come to its end before.
    pub cut_at: Option<usize>,
}

/// Fills every `<mask>` of a text, once for each seed, at the configured temperature. A space before a mask belongs to what is
/// filled in, as tokenizers have it.
///
/// # Errors
/// When the model learned without masks, the text has none or is longer than what the model was trained on, or a setting is out of
/// its range.
pub fn infill(
    pretrained: &Pretrained,
    text: &str,
    seeds: &[u64],
    config: &SamplingConfig,
) -> Result<Vec<Infilled>, SamplingError> {
    config.validate()?;
    let Some(mask) = pretrained.tokenizer.first_mask() else {
        return Err(SamplingError::CannotDo { missing: "masks (causal_masking of texts)", task: "fill one in" });
    };
    let pieces = pieces(pretrained, text)?;
    let mut filled = Vec::with_capacity(seeds.len());
    for batch in seeds.chunks(config.max_batch) {
        filled.extend(Filling::new(pretrained, mask, batch, config).run(&pieces)?);
    }
    Ok(filled)
}

/// The ids of what stands before, between and behind the masks.
fn pieces(pretrained: &Pretrained, text: &str) -> Result<Vec<Vec<u32>>, SamplingError> {
    let pieces: Vec<&str> = text.split(MASK).collect();
    let Some((last, before)) = pieces.split_last().filter(|(_, before)| !before.is_empty()) else {
        return Err(SamplingError::NoMask { text: text.into() });
    };
    let ends = before.iter().map(|piece| piece.strip_suffix(' ').unwrap_or(piece)).chain([*last]);
    Ok(ends.map(|piece| pretrained.tokenizer.encode(piece)).collect::<Result<_, _>>()?)
}

/// A text on its way, once for each of several seeds.
struct Filling<'a> {
    pretrained: &'a Pretrained,
    config: &'a SamplingConfig,
    mask: u32,
    generators: Vec<ChaCha8Rng>,
    /// What has been filled so far, with what stands before it.
    ids: Vec<Vec<u32>>,
    spans: Vec<Vec<String>>,
    is_cut: Vec<bool>,
}

impl<'a> Filling<'a> {
    fn new(pretrained: &'a Pretrained, mask: u32, seeds: &[u64], config: &'a SamplingConfig) -> Self {
        let count = seeds.len();
        let generator = |&seed: &u64| NoiseKey { seed, step: u64::MAX - 1 }.generator(0, 0);
        let generators = seeds.iter().map(generator).collect();
        let (ids, spans, is_cut) = (vec![vec![]; count], vec![vec![]; count], vec![false; count]);
        Self { pretrained, config, mask, generators, ids, spans, is_cut }
    }

    fn run(mut self, pieces: &[Vec<u32>]) -> Result<Vec<Infilled>, SamplingError> {
        self.ids.iter_mut().for_each(|ids| ids.extend(pieces.first().into_iter().flatten()));
        for behind in pieces.iter().skip(1) {
            self.fill(behind)?;
        }
        let tokenizer = &self.pretrained.tokenizer;
        let all = self.ids.iter().zip(self.spans).zip(self.is_cut);
        all.map(|((ids, spans), is_cut)| {
            let text = tokenizer.decode(ids)?.trim().to_string();
            Ok(Infilled { text, spans, cut_at: is_cut.then_some(self.config.max_tokens) })
        })
        .collect()
    }

    /// Writes a span in every sequence, and puts behind it what stands there.
    fn fill(&mut self, behind: &[u32]) -> Result<(), SamplingError> {
        let Self { pretrained, config, mask, .. } = *self;
        let special = pretrained.card.special_tokens;
        let asked = |ids: &Vec<u32>| [&[special.bos][..], ids, &[mask], behind, &[mask]].concat();
        let asked: Vec<Vec<u32>> = self.ids.iter().map(asked).collect();
        let (found, limit) = (asked.iter().map(Vec::len).max().unwrap_or(0), pretrained.card.max_text_rows);
        if found > limit {
            let prompt = pretrained.tokenizer.decode(&asked[0])?;
            return Err(SamplingError::PromptTooLong { prompt, found, limit });
        }
        let mut session = Session::token_by_token(pretrained, asked.len())?;
        let logits = session.append_tokens(&asked);
        let choice = TokenChoice { temperature: config.temperature, top_k: config.top_k, top_p: config.top_p };
        let ends = ends_text(pretrained);
        let is_end = |id| ends(id) || pretrained.tokenizer.mask_of(id).is_some();
        let mut decoder = Decoder::new(&mut session, logits, config.max_tokens);
        let generators = &mut self.generators;
        let written = decoder.run(|logits, active| choice.choose(logits, active, generators), is_end);
        self.is_cut.iter_mut().zip(decoder.cut()).for_each(|(any, cut)| *any |= *cut);
        for ((ids, spans), mut span) in self.ids.iter_mut().zip(&mut self.spans).zip(written) {
            span.retain(|id| !is_end(*id));
            spans.push(pretrained.tokenizer.decode(&span)?);
            ids.extend(span.iter().chain(behind));
        }
        Ok(())
    }
}
