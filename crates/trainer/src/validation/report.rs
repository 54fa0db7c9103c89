//! What held-out documents were measured to lose.

use serde::Serialize;

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ValidationReport {
    /// Step of the model.
    pub step: u64,
    /// Each next-token modality of documents whose caption comes first: `p(caption)`.
    pub text: Vec<TextLoss>,
    /// Each next-token modality of documents whose image comes first, without noise: `p(caption | image)`.
    pub text_given_image: Vec<TextLoss>,
    /// Where images are codes: theirs without a caption, `image_alone`, and of all tokens of captioned images whose caption comes
    /// first, `image_text`, the modality of 2301.03728 that has both.
    pub codes: Vec<TextLoss>,
    /// Time t of each level, and the mean denoising loss there, of images behind their caption.
    pub image: Vec<(f32, f64)>,
    /// The losses of other collections, each named after its collection, its modality and what that follows from.
    pub collections: Vec<TextLoss>,
    /// The cosine of each two modalities' gradients over the weights that both reach, by their names: `image_text`.
    pub gradient_cosines: Vec<(String, f64)>,
    /// Whether all of these are training documents, because nothing could be held out.
    pub is_train: bool,
}

/// The loss of a next-token modality.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TextLoss {
    /// The name of the modality; of other collections than that of images `COLLECTION.MODALITY`, or
    /// `COLLECTION.MODALITY_given_OTHER`.
    pub modality: String,
    /// Mean over tokens with a target, in nats; its exponential is the perplexity.
    pub loss: f64,
    /// Bits that the texts take, markers included, a byte of them: what models with different tokenizers can be compared by.
    /// Only of the modality that carries captions.
    pub bits_per_byte: Option<f64>,
}

impl TextLoss {
    /// Among how many tokens the model is uncertain, on average.
    pub fn perplexity(&self) -> f64 {
        self.loss.exp()
    }

    fn numbers(&self, given: &str) -> Vec<(String, f64)> {
        let name = format!("{}{given}", self.modality);
        let loss = [(format!("{name}_loss"), self.loss), (format!("{name}_perplexity"), self.perplexity())];
        let bits = self.bits_per_byte.map(|bits| (format!("{name}_bits_per_byte"), bits));
        loss.into_iter().chain(bits).collect()
    }
}

impl ValidationReport {
    /// The mean of the levels.
    pub fn image_mean(&self) -> f64 {
        self.image.iter().map(|(_, loss)| loss).sum::<f64>() / self.image.len().max(1) as f64
    }

    /// The losses in a line: `text 1.204  text | image 0.321  image t=0.1: 0.0024  t=0.3: 0.0043`.
    pub fn line(&self) -> String {
        let of = |losses: &[TextLoss], given: &str| {
            let named = losses
                .iter()
                .map(|loss| format!("{}{given} {:.4}", loss.modality.replace("_given_", " | "), loss.loss));
            named.collect::<Vec<_>>()
        };
        let levels = self.image.iter().map(|(t, loss)| format!("t={t}: {loss:.4}")).collect::<Vec<_>>().join("  ");
        let image = (!self.image.is_empty()).then(|| format!("image {levels}"));
        let text = [of(&self.text, ""), of(&self.text_given_image, " | image"), image.into_iter().collect()];
        [text.concat(), of(&self.collections, "")].concat().join("  ")
    }

    /// All numbers by name, for curves: `text_loss`, `text_given_image_loss`, `image_loss`, `image_loss.t=0.1`, of codes `image_alone_loss` and
    /// `image_text_loss`, `voices.speech_given_text_loss`, `gradient_cosine.image_text`.
    pub fn numbers(&self) -> Vec<(String, f64)> {
        let mut numbers: Vec<(String, f64)> = self.text.iter().flat_map(|loss| loss.numbers("")).collect();
        numbers.extend(self.text_given_image.iter().flat_map(|loss| loss.numbers("_given_image")));
        numbers.extend(self.codes.iter().flat_map(|loss| loss.numbers("")));
        if !self.image.is_empty() {
            numbers.push(("image_loss".into(), self.image_mean()));
        }
        numbers.extend(self.image.iter().map(|(level, loss)| (format!("image_loss.t={level}"), *loss)));
        numbers.extend(self.collections.iter().flat_map(|loss| loss.numbers("")));
        let cosines = self.gradient_cosines.iter();
        numbers.extend(cosines.map(|(names, cosine)| (format!("gradient_cosine.{names}"), *cosine)));
        numbers
    }
}
