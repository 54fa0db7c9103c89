//! Emoji as captioned images, built into the program: no download, no folder, a first run within
//! minutes.
//!
//! The images are Twemoji (72 × 72 pixels), the captions Unicode's own names (CLDR): "red apple".
//! There is one image per caption, so a model can only learn it by heart. Skin tones make one
//! exception: a hand that was seen in five tones can be asked for in the sixth, and such
//! combinations can be held out.

use std::collections::HashMap;

use emojis::{Emoji, Group, SkinTone};
use serde::{Deserialize, Serialize};
use twemoji_assets::png::PngTwemojiAsset;

use super::held_out::{held_out, place};
use super::{DataSet, Source, SourceSettings, parted, validate_held_out};
use crate::error::DataError;
use crate::files::decode::encoded_size;
use crate::images::{Covering, Framing, Image, ImageShape};

/// The nine groups of Unicode by the names that a configuration uses.
const GROUPS: [(&str, Group); 9] = [
    ("smileys-and-emotion", Group::SmileysAndEmotion),
    ("people-and-body", Group::PeopleAndBody),
    ("animals-and-nature", Group::AnimalsAndNature),
    ("food-and-drink", Group::FoodAndDrink),
    ("travel-and-places", Group::TravelAndPlaces),
    ("activities", Group::Activities),
    ("objects", Group::Objects),
    ("symbols", Group::Symbols),
    ("flags", Group::Flags),
];

/// The key whose values this module explains.
const GROUPS_KEY: &str = "data.source.groups";

/// Options of `kind = "emoji"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EmojiConfig {
    /// Unicode groups by name: `smileys-and-emotion`, `people-and-body`, `animals-and-nature`, `food-and-drink`,
    /// `travel-and-places`, `activities`, `objects`, `symbols` or `flags`; or `all`.
    pub groups: Vec<String>,
    /// Whether hands and people also appear in their skin tones.
    pub skin_tones: bool,
    /// Fraction, from 0 to below 1, of the (emoji, skin tone) pairs, or of the emoji, that training does not see.
    ///
    /// Without `skin_tones` there is one image per caption and no pair that could be held out:
    /// the held-out split is then the training set itself, unless whole emoji are held out.
    pub held_out: f64,
    /// What is held out.
    pub held_out_by: EmojiHeldOut,
}

/// What an emoji source holds out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmojiHeldOut {
    /// Pairs of an emoji and a skin tone, of which training sees each part: what a model that draws can be asked for.
    #[default]
    Tone,
    /// Whole emoji, in all their skin tones: what an autoencoder can be measured on.
    Emoji,
}

impl Default for EmojiConfig {
    fn default() -> Self {
        Self {
            groups: ["food-and-drink", "animals-and-nature"].map(String::from).to_vec(),
            skin_tones: false,
            held_out: 0.1,
            held_out_by: EmojiHeldOut::default(),
        }
    }
}

impl SourceSettings for EmojiConfig {
    fn validate(&self, _: ImageShape) -> Result<(), DataError> {
        validate_held_out(self.held_out)?;
        parse_groups(&self.groups).map(|_| ())
    }

    fn open(&self, framing: Framing) -> Result<DataSet, DataError> {
        let (train, held_out) = EmojiSource::open(self, framing)?;
        Ok(DataSet::kept(train, held_out))
    }
}

/// Emoji of the chosen groups.
struct EmojiSource {
    items: Vec<Item>,
    framing: Framing,
    held_out_is_train: bool,
}

#[derive(Clone)]
struct Item {
    emoji: &'static Emoji,
    png: &'static [u8],
}

impl EmojiSource {
    /// Selects the emoji of both splits, the second where something is held out; images are decoded when asked for.
    ///
    /// # Errors
    ///
    /// When a group is unknown, or no emoji is left.
    fn open(config: &EmojiConfig, framing: Framing) -> Result<(Self, Option<Self>), DataError> {
        let groups = parse_groups(&config.groups)?;
        let all: Vec<Item> = emojis::iter()
            .filter(|emoji| groups.contains(&emoji.group()))
            .flat_map(|emoji| if config.skin_tones { tones(emoji) } else { vec![emoji] })
            .filter_map(Item::new)
            .collect();
        let held_out = match config.held_out_by {
            EmojiHeldOut::Emoji => held_out(all.iter().map(Item::plain), config.held_out),
            EmojiHeldOut::Tone if config.skin_tones => hold_out_pairs(&all, config.held_out),
            EmojiHeldOut::Tone => vec![false; all.len()],
        };
        let (train, held_out) = parted(all, &held_out);
        if train.is_empty() {
            return Err(DataError::Empty { searched: format!("emoji of the groups {:?}", config.groups) });
        }
        let held_out_is_train = held_out.is_none();
        let of = |items| Self { items, framing: framing.clone(), held_out_is_train };
        Ok((of(train), held_out.map(of)))
    }
}

impl EmojiSource {
    /// The image at its own size.
    fn decoded(&self, index: usize) -> Result<Image, DataError> {
        let item = &self.items[index];
        Image::decode(item.png, item.emoji.as_str(), self.framing.shape.channels)
    }
}

impl Source for EmojiSource {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn name(&self, index: usize) -> String {
        self.items[index].emoji.as_str().into()
    }

    fn captions(&self, index: usize) -> Result<Vec<String>, DataError> {
        Ok(vec![self.items[index].emoji.name().into()])
    }

    fn image(&self, index: usize) -> Result<Image, DataError> {
        self.decoded(index)?.framed(&self.framing).map_err(|error| error.of_image(&self.name(index)))
    }

    fn covering(&self, index: usize) -> Result<Covering, DataError> {
        Covering::of(&self.decoded(index)?, &self.framing).map_err(|error| error.of_image(&self.name(index)))
    }

    fn shape(&self) -> ImageShape {
        self.framing.shape
    }

    fn framing(&self) -> Framing {
        self.framing.clone()
    }

    fn native_size(&self, index: usize) -> Result<[usize; 2], DataError> {
        encoded_size(self.items[index].png).map_err(DataError::image(self.name(index)))
    }

    fn held_out_is_train(&self) -> bool {
        self.held_out_is_train
    }
}

impl Item {
    /// `None` for the few emoji that are newer than the images.
    fn new(emoji: &'static Emoji) -> Option<Self> {
        let text = emoji.as_str();
        // Twemoji's names leave out the variation selector U+FE0F except inside joined sequences.
        let png =
            PngTwemojiAsset::from_emoji(text).or_else(|| PngTwemojiAsset::from_emoji(&text.replace('\u{fe0f}', "")))?;
        Some(Self { emoji, png })
    }

    /// The emoji without its skin tone.
    fn plain(&self) -> &'static str {
        self.emoji.with_skin_tone(SkinTone::Default).unwrap_or(self.emoji).as_str()
    }

    /// The emoji without its skin tone, and the tone, where it has one.
    fn combination(&self) -> Option<(&'static str, SkinTone)> {
        let tone = self.emoji.skin_tone().filter(|&tone| tone != SkinTone::Default)?;
        let plain = self.emoji.with_skin_tone(SkinTone::Default)?;
        Some((plain.as_str(), tone))
    }
}

/// The groups that a configuration names.
///
/// # Errors
///
/// When there is none, or one is unknown: the message lists them all.
fn parse_groups(names: &[String]) -> Result<Vec<Group>, DataError> {
    let expected = || {
        let known = GROUPS.map(|(name, _)| name).join(", ");
        format!("one or more of {known}, or all")
    };
    let mut groups = Vec::new();
    for name in names {
        if name == "all" {
            groups.extend(Group::iter());
        } else if let Some((_, group)) = GROUPS.iter().find(|(known, _)| known == name) {
            groups.push(*group);
        } else {
            return Err(DataError::config(GROUPS_KEY, expected(), format!("`{name}`")));
        }
    }
    if groups.is_empty() {
        return Err(DataError::config(GROUPS_KEY, expected(), "an empty list"));
    }
    Ok(groups)
}

/// An emoji in all its skin tones, the plain one first.
fn tones(emoji: &'static Emoji) -> Vec<&'static Emoji> {
    emoji.skin_tones().map_or_else(|| vec![emoji], Iterator::collect)
}

/// Marks a fraction of the (emoji, skin tone) pairs such that training still sees every emoji in some
/// tone and every tone on some emoji.
fn hold_out_pairs(items: &[Item], fraction: f64) -> Vec<bool> {
    let mut pairs: Vec<(f64, usize, &str, SkinTone)> = items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| {
            let (emoji, tone) = item.combination()?;
            Some((place(item.emoji.as_str()), index, emoji, tone))
        })
        .collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut of_emoji, mut of_tone) = (HashMap::new(), HashMap::new());
    for &(_, _, emoji, tone) in &pairs {
        *of_emoji.entry(emoji).or_insert(0_usize) += 1;
        *of_tone.entry(tone as u8).or_insert(0_usize) += 1;
    }
    let mut marks = vec![false; items.len()];
    for (place, index, emoji, tone) in pairs {
        let (Some(emoji_left), Some(tone_left)) = (of_emoji.get_mut(emoji), of_tone.get_mut(&(tone as u8))) else {
            continue;
        };
        if place < fraction && *emoji_left > 1 && *tone_left > 1 {
            *emoji_left -= 1;
            *tone_left -= 1;
            marks[index] = true;
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };

    fn both(groups: &[&str], skin_tones: bool, held_out: f64) -> (EmojiSource, Option<EmojiSource>) {
        let groups = groups.iter().map(|&name| name.into()).collect();
        let held_out_by = EmojiHeldOut::Tone;
        EmojiSource::open(&EmojiConfig { groups, skin_tones, held_out, held_out_by }, SHAPE.into()).unwrap()
    }

    fn train(groups: &[&str], skin_tones: bool, held_out: f64) -> EmojiSource {
        both(groups, skin_tones, held_out).0
    }

    #[test]
    fn as_many_emoji_have_images_as_were_counted() {
        let count = |groups: &[&str]| train(groups, false, 0.1).len();
        assert_eq!(emojis::iter().count(), 1923);
        assert_eq!(count(&["all"]), 1914);
        let per_group = GROUPS.map(|(name, _)| count(&[name]));
        assert_eq!(per_group, [171, 388, 160, 131, 219, 85, 266, 224, 270]);
        assert_eq!(count(&["all", "flags"]), 1914, "a group named twice is not read twice");
        assert_eq!(train(&["all"], true, 0.0).len(), 3944);
    }

    #[test]
    fn every_image_decodes_and_every_caption_is_its_own() {
        let source = train(&["all"], true, 0.0);
        let mut captions = HashSet::new();
        for index in 0..source.len() {
            assert_eq!(source.native_size(index).unwrap(), [72, 72]);
            let [caption] = &source.captions(index).unwrap()[..] else { panic!("one caption each") };
            assert!(captions.insert(caption.clone()), "`{caption}` occurs twice");
            let toned = source.items[index].combination().is_some();
            assert_eq!(toned, caption.contains("skin tone"), "{caption}");
        }
        let apple = (0..source.len()).find(|&index| source.caption(index).unwrap() == "red apple").unwrap();
        let image = source.image(apple).unwrap();
        assert_eq!(image.shape(), SHAPE);
        let corner = image.pixels().slice(ndarray::s![.., 0, 0]).to_vec();
        assert_eq!(corner, [255; 3], "a transparent corner is white");
        let middle = image.pixels().slice(ndarray::s![.., 20, 16]).to_vec();
        assert!(middle[0] > 180 && middle[1] < 80, "a red apple is red: {middle:?}");
    }

    #[test]
    fn without_skin_tones_the_held_out_split_is_the_training_set() {
        let data = EmojiConfig::default().open(SHAPE.into()).unwrap();
        assert!(data.train.held_out_is_train() && std::sync::Arc::ptr_eq(&data.train, &data.held_out));
    }

    #[test]
    fn held_out_combinations_leave_every_emoji_and_tone_in_training() {
        for fraction in [0.1, 0.9] {
            let (train, held_out) = both(&["people-and-body"], true, fraction);
            let held_out = held_out.unwrap();
            assert!(!held_out.held_out_is_train());
            let seen: Vec<_> = train.items.iter().filter_map(Item::combination).collect();
            let emoji: HashSet<_> = seen.iter().map(|(emoji, _)| *emoji).collect();
            let tones: HashSet<_> = seen.iter().map(|(_, tone)| *tone as u8).collect();
            for (emoji_held, tone_held) in held_out.items.iter().map(|item| item.combination().unwrap()) {
                assert!(emoji.contains(emoji_held) && tones.contains(&(tone_held as u8)));
                assert!(!seen.contains(&(emoji_held, tone_held)));
            }
            let fraction_met = held_out.len() as f64 / (held_out.len() + seen.len()) as f64;
            assert!((fraction_met - fraction).abs() < 0.15, "{fraction_met} of the pairs for {fraction}");
        }
    }

    #[test]
    fn emoji_that_are_held_out_are_held_out_in_every_tone() {
        let (groups, held_out_by) = (vec!["people-and-body".into()], EmojiHeldOut::Emoji);
        let config = EmojiConfig { groups, skin_tones: true, held_out: 0.2, held_out_by };
        let (train, held_out) = EmojiSource::open(&config, SHAPE.into()).unwrap();
        let held_out = held_out.unwrap();
        assert!(!held_out.held_out_is_train() && train.len() > 2 * held_out.len());
        let seen: HashSet<_> = train.items.iter().map(Item::plain).collect();
        assert!(held_out.items.iter().all(|item| !seen.contains(item.plain())));
    }

    #[test]
    fn an_unknown_group_is_answered_with_the_list() {
        let message = parse_groups(&["food".into()]).unwrap_err().to_string();
        assert!(message.contains("`food`") && message.contains("food-and-drink") && message.contains("flags"));
    }
}
