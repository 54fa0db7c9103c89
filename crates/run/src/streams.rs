//! From collections to documents: what is trained on, and what is held out.

use std::sync::Arc;

use interfuse_checkpoint::ModelCard;
use interfuse_data::conversations::{
    ConversationDocuments, ConversationParts, ConversationSet, ConversationsConfig, Speaker, Turn,
};
use interfuse_data::latents::CacheKey;
use interfuse_data::mixture::{
    ClipImages, Collection, Content, Mixture, MixtureUnit, SpeechConfig, SpeechDocuments, SpeechLanes, SpeechSet,
    TextDocuments, TextSet, TextsConfig, mean_rows,
};
use interfuse_data::{
    Collections, DocumentLanes, DocumentParts, DocumentStream, Documents, ImageLane, ImageLatents, LatentCache, Split,
    Tokenizer, evenly,
};
use interfuse_sequence::RowShape;
use interfuse_trainer::{HeldOutDocuments, Validation};
use interfuse_vae::Codec;

use crate::error::{Context as _, Result, refuse};
use crate::settings::Settings;

/// What documents are made with.
#[derive(Clone, Copy)]
pub(crate) struct Streams<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) data: &'a Collections,
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) codec: &'a Arc<dyn Codec>,
    pub(crate) card: &'a ModelCard,
}

impl<'a> Streams<'a> {
    fn lane(&self, name: &str) -> Result<usize> {
        self.card.model.lane(name).with_context(|| format!("model.modalities: expected `{name}`"))
    }

    /// The documents of captioned images of a split, where there are images.
    ///
    /// # Errors
    /// When a latent cache is of other images.
    pub(crate) fn images(&self, split: Split) -> Result<Option<Documents>> {
        let (Some(data), Some(images)) = (&self.data.images, &self.card.images) else { return Ok(None) };
        let (settings, source) = (self.settings, data.of(split));
        let lanes = DocumentLanes { captions: self.lane(&self.card.captions)?, images: self.lane(images)? };
        let cache = settings.codec.vae().and_then(|vae| vae.cache.as_ref());
        if let Some(folder) = cache.filter(|_| !source.framing().sizes.is_empty()) {
            refuse!(
                "codec.cache: expected none beside data.buckets, for a cache has latents of one size, found {}",
                folder.display()
            );
        }
        let latents = match cache {
            // Held-out images are few and encoded when they are measured.
            Some(folder) if split == Split::Train => {
                let mirrored = settings.data.horizontal_flip > 0.0;
                let key = CacheKey::new(source.as_ref(), self.codec.as_ref(), mirrored)?;
                ImageLatents::Cached(Arc::clone(self.codec), LatentCache::open(folder, &key, source.as_ref())?)
            }
            _ => ImageLatents::encoded(Arc::clone(self.codec), source.as_ref()),
        };
        let parts = DocumentParts {
            source: Arc::clone(source),
            tokenizer: self.tokenizer.clone(),
            latents,
            first_code: self.card.codes.map(|codes| codes.first as u32),
        };
        let flip = settings.data.horizontal_flip;
        Ok(Some(Documents::new(parts, lanes, settings.documents.clone(), flip, settings.run.seed)))
    }

    /// The documents of a collection of speech of a split.
    fn speech(&self, config: &SpeechConfig, set: &SpeechSet, split: Split) -> Result<SpeechDocuments> {
        let Some(card) = &self.card.speech else {
            refuse!("documents.speech: expected a modality for units, found none")
        };
        let lanes =
            SpeechLanes { text: self.lane(&self.card.captions)?, units: self.lane(&card.modality)?, ids: card.ids };
        let utterances = Arc::clone(if split == Split::Train { &set.train } else { &set.held_out });
        let config = (config.clone(), self.settings.documents.max_caption_tokens);
        let with_images = config.0.with_images;
        let documents = SpeechDocuments::new(utterances, self.tokenizer.clone(), lanes, config, self.settings.run.seed);
        match &self.card.images {
            Some(images) if with_images => {
                let lane = ImageLane {
                    lane: self.lane(images)?,
                    first_code: self.card.codes.map(|codes| codes.first as u32),
                    clean_copies: self.settings.documents.clean_copies,
                };
                let framing = self.settings.data.framing().of_one_size();
                let images = ClipImages::new(Arc::clone(self.codec), framing, lane);
                Ok(documents.with_images(images))
            }
            None if with_images => refuse!(
                "data.mixture: expected a modality for the images of clips, for with_images is on, found none; the \
                 model has no images where no part of the mixture is of kind `images`"
            ),
            _ => Ok(documents),
        }
    }

    /// The documents of a collection of texts of a split.
    fn texts(&self, config: &TextsConfig, set: &TextSet, split: Split) -> Result<TextDocuments> {
        let pieces = Arc::clone(if split == Split::Train { &set.train } else { &set.held_out });
        let lane = self.lane(&self.card.captions)?;
        Ok(TextDocuments::new(pieces, self.tokenizer.clone(), lane, config, self.settings.run.seed)?)
    }

    /// The documents of a collection of conversations of a split.
    fn conversations(
        &self,
        config: &ConversationsConfig,
        set: &ConversationSet,
        split: Split,
    ) -> Result<ConversationDocuments> {
        let Some(images) = &self.card.images else {
            refuse!("documents.images: expected a modality for the images of conversations, found none")
        };
        let parts = ConversationParts {
            conversations: Arc::clone(if split == Split::Train { &set.train } else { &set.held_out }),
            tokenizer: self.tokenizer.clone(),
            codec: Arc::clone(self.codec),
            first_code: self.card.codes.map(|codes| codes.first as u32),
            max_text_tokens: self.settings.documents.max_caption_tokens,
            clean_copies: self.settings.documents.clean_copies,
        };
        let lanes = DocumentLanes { captions: self.lane(&self.card.captions)?, images: self.lane(images)? };
        Ok(ConversationDocuments::new(parts, lanes, config.clone(), self.settings.run.seed))
    }

    /// What is trained on.
    ///
    /// # Errors
    /// When a latent cache is of other images, or a collection has no modality.
    pub(crate) fn training(&self) -> Result<Box<dyn DocumentStream>> {
        let format = self.card.model.sequence_format();
        let (mut streams, mut late_weights) = (vec![], vec![]);
        for part in &self.data.parts {
            let stream = self.of_part(part)?;
            let unit = match self.settings.data.mixture_by {
                MixtureUnit::Documents => 1.0,
                MixtureUnit::Tokens => mean_rows(&stream.rows(&format)).max(1.0),
            };
            streams.push((stream, part.weight / unit));
            late_weights.push(part.late_weight / unit);
        }
        if streams.len() == 1 {
            return Ok(streams.remove(0).0);
        }
        let mixture = Mixture::new(streams);
        Ok(Box::new(match self.late_from() {
            Some(from) => mixture.with_later(from, &late_weights),
            None => mixture,
        }))
    }

    /// The first document of those at the end of the run that have other weights.
    fn late_from(&self) -> Option<u64> {
        let (train, fraction) = (&self.settings.train, self.settings.data.late_fraction);
        let documents = train.steps * (train.batch_size * train.gradient_accumulation) as u64;
        (fraction > 0.0).then(|| ((1.0 - fraction) * documents as f64).round() as u64)
    }

    fn of_part(&self, part: &Collection) -> Result<Box<dyn DocumentStream>> {
        match &part.content {
            Content::Images => match self.images(Split::Train)? {
                Some(documents) => Ok(Box::new(documents)),
                None => refuse!("data.mixture: expected a modality for images, found none"),
            },
            Content::Speech(config, set) => Ok(Box::new(self.speech(config, set, Split::Train)?)),
            Content::Texts(config, set) => Ok(Box::new(self.texts(config, set, Split::Train)?)),
            Content::Conversations(config, set) => Ok(Box::new(self.conversations(config, set, Split::Train)?)),
        }
    }

    /// Held-out documents, for losses under fixed noise.
    ///
    /// # Errors
    /// As [`Self::training`].
    pub(crate) fn validation(&self) -> Result<Validation> {
        let (model, config) = (&self.card.model, &self.settings.validation);
        let images_are_train = self.data.images.as_ref().is_none_or(|images| images.held_out.held_out_is_train());
        let speech_is_train = self.data.speech().all(|(_, set)| set.held_out_is_train());
        let texts_are_train = self.data.text_sets().all(|(_, set)| set.held_out_is_train());
        let conversations_are_train = self.data.conversations().all(|(_, set)| set.held_out_is_train());
        let all_are_train = images_are_train && speech_is_train && texts_are_train && conversations_are_train;
        let mut validation = Validation::new(config, all_are_train);
        if let Some(documents) = self.images(Split::HeldOut)? {
            validation = validation.with_images(&documents, model, &self.one_image(&documents));
        }
        for part in &self.data.parts {
            match &part.content {
                Content::Images => {}
                Content::Speech(settings, set) => {
                    let documents = self.speech(settings, set, Split::HeldOut)?;
                    for speech_first in [false, true] {
                        validation =
                            validation.with(self.held_out_speech(&part.name, &documents, speech_first)?, model);
                    }
                }
                Content::Texts(settings, set) => {
                    let documents = self.texts(settings, set, Split::HeldOut)?;
                    validation = validation.with(self.held_out_texts(&part.name, &documents)?, model);
                }
                Content::Conversations(settings, set) => {
                    let documents = self.conversations(settings, set, Split::HeldOut)?;
                    validation = validation.with(self.held_out_conversations(&part.name, &documents)?, model);
                }
            }
        }
        Ok(validation)
    }

    /// Room for the longest document of an image by itself.
    fn one_image(&self, documents: &Documents) -> RowShape {
        let (lanes, mut capacity) = (documents.lanes(), vec![0; self.card.model.modalities.len()]);
        // A model that learned images without captions is measured on the same documents as others.
        let captions = if documents.are_captioned() { 0 } else { documents.text_rows().longest() };
        capacity[lanes.captions] = self.card.max_text_rows.max(captions);
        capacity[lanes.images] = documents.most_copies() * self.card.model.sequence_format().rows_per_image();
        RowShape { capacity }
    }

    /// Held-out pieces of texts, and their loss.
    fn held_out_texts(&self, name: &str, documents: &TextDocuments) -> Result<HeldOutDocuments> {
        let text = &self.card.captions;
        let chosen: Vec<usize> = evenly(self.settings.validation.images, documents.pieces().len()).collect();
        let pieces = chosen.iter().filter_map(|&index| Some((index, documents.pieces().piece(index).ok()?.0.len())));
        let (mut samples, mut bytes) = (vec![], 0);
        for (index, length) in pieces {
            if let Ok(sample) = documents.plain_document(index) {
                samples.push(sample);
                bytes += length;
            }
        }
        let lane = self.lane(text)?;
        Ok(HeldOutDocuments { samples, losses: vec![(lane, format!("{name}.{text}"))], texts: Some((lane, bytes)) })
    }

    /// Held-out conversations, and the losses of what the model says and draws in them.
    fn held_out_conversations(&self, name: &str, documents: &ConversationDocuments) -> Result<HeldOutDocuments> {
        let conversations = documents.conversations();
        let chosen: Vec<usize> = evenly(self.settings.validation.images, conversations.len()).collect();
        let outlines = chosen.iter().filter_map(|&index| conversations.outline(index).ok());
        let of_model: Vec<Turn<()>> = outlines.flatten().filter(|turn| turn.speaker == Speaker::Model).collect();
        let says = of_model.iter().any(|turn| turn.texts().next().is_some());
        let draws = of_model.iter().any(|turn| turn.images().next().is_some());
        let samples = chosen.iter().filter_map(|&index| documents.plain_document(index).ok()).collect();
        let mut losses = vec![];
        for (modality, is_there) in [(Some(&self.card.captions), says), (self.card.images.as_ref(), draws)] {
            if let Some(modality) = modality.filter(|_| is_there) {
                losses.push((self.lane(modality)?, format!("{name}.{modality}")));
            }
        }
        Ok(HeldOutDocuments { samples, losses, texts: None })
    }

    /// Held-out speech in one order, and its losses: of text, then of speech given it; or the other way round.
    fn held_out_speech(&self, name: &str, documents: &SpeechDocuments, speech_first: bool) -> Result<HeldOutDocuments> {
        let text = &self.card.captions;
        let Some(speech) = self.card.speech.as_ref().map(|card| &card.modality) else {
            refuse!("documents.speech: expected a modality for units, found none");
        };
        let utterances = documents.utterances();
        let chosen = evenly(self.settings.validation.images, utterances.len());
        let has_text = |index: &usize| speech_first || utterances[*index].text.is_some();
        let chosen: Vec<usize> = chosen.filter(has_text).collect();
        let bytes = chosen.iter().filter_map(|&index| utterances[index].text.as_ref()).map(String::len).sum();
        let samples = chosen.iter().filter_map(|&index| documents.plain_document(index, speech_first).ok()).collect();
        let (first, second) = if speech_first { (speech, text) } else { (text, speech) };
        let losses = vec![
            (self.lane(first)?, format!("{name}.{first}")),
            (self.lane(second)?, format!("{name}.{second}_given_{first}")),
        ];
        let losses = losses.into_iter().filter(|(_, loss)| bytes > 0 || !loss.contains("_given_"));
        Ok(HeldOutDocuments { samples, losses: losses.collect(), texts: Some((self.lane(text)?, bytes)) })
    }
}
