//! A proposal as a configuration, with the reason beside each choice.

use interfuse_data::survey::Sides;

use super::candidate::ROPE_THETA;
use super::choose::{Proposal, RESERVED};
use super::measure::Measured;
use super::recipe::Recipe;
use crate::configuration::quoted;
use crate::error::{Context as _, Result};

/// Columns of a comment.
const COLUMNS: usize = 110;

/// A text that grows by tables, comments and keys.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// A table behind a blank line.
    fn table(&mut self, name: &str) {
        self.line("");
        self.line(&format!("[{name}]"));
    }

    fn key(&mut self, name: &str, value: impl std::fmt::Display) {
        self.line(&format!("{name} = {value}"));
    }

    /// A sentence or several, over as many lines as they need.
    fn reason(&mut self, text: &str) {
        let mut line = String::from("#");
        for word in text.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > COLUMNS {
                self.line(&line);
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(&line);
    }
}

impl Proposal {
    /// The configuration as TOML. With what was measured of it, a head says what was looked at and measured.
    ///
    /// # Errors
    /// When a path is not UTF-8, which TOML cannot hold.
    pub fn toml(&self, measured: Option<&Measured>) -> Result<String> {
        let mut page = Page::default();
        if let Some(measured) = measured {
            self.write_head(&mut page, measured);
        }
        self.write_run(&mut page)?;
        self.write_data(&mut page)?;
        self.write_text(&mut page);
        self.write_model(&mut page);
        self.write_image(&mut page);
        self.write_optimizer(&mut page);
        self.write_train(&mut page);
        self.write_rest(&mut page);
        Ok(page.0.trim_start().to_string())
    }

    fn write_head(&self, page: &mut Page, measured: &Measured) {
        let (survey, wishes) = (&self.facts.survey, &self.facts.wishes);
        page.reason(&format!(
            "Made by `interfuse init` for the images in {:?}: {} of them, brought to {}, in {} min.",
            wishes.images, survey.images, wishes.size, wishes.minutes
        ));
        let bad = match survey.bad {
            0 => "all of which can be read".to_string(),
            bad => format!("{bad} of which cannot be read and are skipped in training"),
        };
        page.reason(&format!(
            "Looked at: {} images, {bad}, and all {} captions; {} entries of the folder were left out.",
            survey.opened, survey.captions.captions, survey.skipped
        ));
        page.reason(&format!(
            "Measured on {} in {}: a step takes {:.1} ms, the median of {}; with {:.2} M weights it takes about {:.1} GiB.",
            measured.device,
            measured.precision,
            1e3 * measured.timing.seconds,
            measured.steps,
            measured.weights as f64 / 1e6,
            gib(measured.memory.max(self.memory))
        ));
        page.reason(&format!(
            "So {} steps take about {:.1} minutes. {:.0} % of the minutes are for previews, held-out losses and checkpoints, and \
             for what slows the machine down meanwhile.",
            self.steps,
            self.minutes(),
            100.0 * RESERVED
        ));
        page.line("");
    }

    fn write_run(&self, page: &mut Page) -> Result<()> {
        let wishes = &self.facts.wishes;
        page.line("[run]");
        page.key("dir", quoted(wishes.dir.to_str().context("--out: expected a path in UTF-8")?));
        page.reason("Where it was measured.");
        page.key("device", quoted(&wishes.device));
        Ok(())
    }

    fn write_data(&self, page: &mut Page) -> Result<()> {
        let (survey, wishes) = (&self.facts.survey, &self.facts.wishes);
        page.table("data");
        page.reason(&format!(
            "Height and width in pixels. The images are {} high and {} wide; each is resized so that its short side fits, and \
             cropped at its centre.",
            sides(survey.height),
            sides(survey.width)
        ));
        if survey.transparent > 0 {
            let (transparent, read) = (survey.transparent, survey.opened - survey.bad);
            page.reason(&format!("{transparent} of {read} images are transparent somewhere, which becomes white."));
        }
        page.key("image_size", format!("[{}, {}]", wishes.size.height, wishes.size.width));
        if survey.height.min < wishes.size.height || survey.width.min < wishes.size.width {
            page.reason("Some images are smaller than that; they are enlarged, and would be left out otherwise.");
            page.key("upscale", true);
        }
        page.reason(match self.facts.channels() {
            1 => "None of the images that were opened has colour.",
            _ => "Red, green and blue.",
        });
        page.key("channels", self.facts.channels());
        page.reason("Not mirrored, for left and right may carry meaning; 0.5 doubles the images where they do not.");
        page.key("horizontal_flip", "0.0");
        let path = quoted(wishes.images.to_str().context("the folder of images: expected a path in UTF-8")?);
        page.reason(&match self.facts.held_out() {
            0.0 => format!("Of {} images none is held out: every one is needed.", survey.images),
            _ => format!(
                "Of {} images about {} are held out, to see whether the model learns more than the others.",
                survey.images,
                survey.images - self.facts.trained_on()
            ),
        });
        page.key("source", format!("{{ kind = \"folder\", path = {path}, held_out = {:.4} }}", self.facts.held_out()));
        Ok(())
    }

    fn write_text(&self, page: &mut Page) {
        let captions = &self.facts.survey.captions;
        page.table("documents");
        page.reason("So many documents have their image before its caption, from which the model learns to caption.");
        page.key("image_first", self.recipe.image_first());
        page.reason("So many lose their caption, from which it learns what guidance compares with.");
        page.key("caption_dropout", "0.1");
        page.table("tokenizer");
        page.reason(&format!(
            "{} captions, {} of them different, with {} different words; {:.1} words each on average, the longest has {} bytes.",
            captions.captions, captions.distinct, captions.distinct_words, captions.words, captions.longest
        ));
        page.key("vocab_size", self.facts.vocab_size());
    }

    fn write_model(&self, page: &mut Page) {
        let candidate = &self.candidate;
        page.table("model");
        page.reason("Mixture-of-Transformers: text and image have weights of their own, and attend to one another.");
        page.key("partition", "[[\"text\"], [\"image\"]]");
        page.key("positions", "\"axial\"");
        page.table("model.backbone");
        let wanted = self.recipe.wanted_documents(self.facts.trained_on());
        let all = self.steps as f64 * self.documents as f64;
        page.reason(&match all < wanted {
            true => format!(
                "The smallest model: a larger one is worth its time from {wanted:.0} documents on, and in the minutes there are \
                 {all:.0}, {} in {:.1} ms.",
                self.documents,
                1e3 * self.seconds_per_step
            ),
            false => format!(
                "The largest model that still sees {wanted:.0} documents in the time, which is {:.0} a second as measured; {}.",
                self.documents as f64 / self.seconds_per_step,
                match (self.enough, self.facts.memory) {
                    (Some(_), _) => "the next one would be too slow",
                    (None, Some(_)) => "there is none larger that is known to train well, or that fits into memory",
                    (None, None) => "there is none larger that is known to train well",
                }
            ),
        });
        page.key("d_model", candidate.d_model);
        page.key("n_layers", candidate.n_layers);
        page.key("n_heads", candidate.n_heads());
        page.key("d_ff", candidate.d_ff());
        page.key("qk_norm", true);
        page.key("rope_theta", decimal(ROPE_THETA));
        page.table("model.modalities.text");
        page.key("objective", "\"next_token\"");
    }

    fn write_image(&self, page: &mut Page) {
        let (candidate, size) = (&self.candidate, self.facts.wishes.size);
        page.table("model.modalities.image");
        page.key("objective", "\"denoise\"");
        page.reason(&format!(
            "{} patches an image of {size}. Smaller patches draw finer detail and take more time, so they come before a model \
             larger than the quickstart's.",
            candidate.patches
        ));
        page.key("patch_size", candidate.patch_size);
        page.reason("Patches reach into their neighbours by a quarter, so that their edges do not show.");
        page.key("patch_overlap", candidate.patch_overlap());
        page.key("learned_positions", true);
        page.key("process", "\"rectified_flow\"");
        page.key("prediction", "\"clean\"");
        page.key("timestep_conditioning", "\"ada_ln\"");
        page.reason(&format!("As in configs/{}.toml, for {}.", self.recipe.preset(), self.kind_of_data()));
        let shift = decimal(self.shift());
        match self.recipe {
            Recipe::Kinds => {
                page.key("loss_space", "\"velocity\"");
                page.key("timesteps", format!("{{ distribution = \"logit_normal\", shift = {shift} }}"));
            }
            Recipe::ByHeart | Recipe::Composed => page.key("timesteps", format!("{{ shift = {shift} }}")),
        }
        page.table("objective");
        page.key("weights", "{ image = 1.0 }");
    }

    fn kind_of_data(&self) -> String {
        let (images, distinct) = (self.facts.survey.images, self.facts.survey.captions.distinct);
        match self.recipe {
            Recipe::ByHeart => format!(
                "{images} images with {distinct} different captions can be learned by heart, and strong noise is where captions \
                 are learned"
            ),
            Recipe::Composed => format!(
                "{images} images with {distinct} different captions are too many to learn by heart, and their detail matters"
            ),
            Recipe::Kinds => {
                format!("{images} images have {distinct} different captions, so each stands for many images")
            }
        }
    }

    fn shift(&self) -> f64 {
        self.recipe.shift(self.facts.wishes.size.height * self.facts.wishes.size.width)
    }

    fn write_optimizer(&self, page: &mut Page) {
        page.table("optimizer");
        page.reason(match self.candidate.d_model {
            0..=192 => "The presets', which have this width.",
            _ => "The presets' 2e-3 at a width of 192, and less in proportion to the width beyond, which was not measured.",
        });
        page.key("learning_rate", decimal(self.learning_rate()));
        page.key("final_learning_rate", "0.0");
        page.reason(&format!("An eightieth of the {} steps.", self.steps));
        page.key("warmup_steps", self.warmup_steps());
        page.key("betas", "[0.9, 0.99]");
        page.key("weight_decay", "0.0");
        page.reason("The average of the weights looks back over a twentieth of the steps at most.");
        page.key("ema_decay", self.ema_decay());
    }

    fn write_train(&self, page: &mut Page) {
        page.table("train");
        page.reason(&format!(
            "{:.1} minutes at {:.1} ms a step: each of the {} images comes up about {:.1} times.",
            self.minutes(),
            1e3 * self.seconds_per_step,
            self.facts.trained_on(),
            self.sights()
        ));
        page.key("steps", self.steps);
        page.reason(&format!(
            "{} documents a step, in micro-batches of which {} can run at once{}.",
            self.documents,
            self.facts.at_once.min(self.micro_batches),
            self.facts.memory.map_or(String::new(), |limit| format!("; {:.1} GiB of memory may be taken", gib(limit)))
        ));
        page.key("batch_size", self.documents / self.micro_batches);
        page.key("gradient_accumulation", self.micro_batches);
        page.reason("16 bits where this device multiplies them faster.");
        page.key("precision", "\"auto\"");
    }

    fn write_rest(&self, page: &mut Page) {
        let interval = self.interval();
        page.table("intervals");
        page.reason(&match interval < self.steps {
            true => format!(
                "About every {:.1} minutes, so that looking at the model costs a tenth of the time at most.",
                interval as f64 * self.seconds_per_step / 60.0
            ),
            false => "At the end alone: looking at the model in between would cost too much of the time.".to_string(),
        });
        for key in ["validation", "preview", "checkpoint"] {
            page.key(key, interval);
        }
        let (steps, guidance) = self.recipe.sampling();
        page.table("sampling");
        page.reason(match self.recipe {
            Recipe::ByHeart => "An image known by heart takes few steps; more steps and guidance add errors.",
            Recipe::Composed => "As many steps and as much guidance as the preset was measured with.",
            Recipe::Kinds => "Guidance chooses the likelier ones of many images; 1.0 is as varied as the data.",
        });
        page.key("steps", steps);
        page.key("guidance", decimal(guidance));
        page.key("shift", decimal(self.shift()));
    }
}

/// `8 pixels`, or `8 to 30 pixels (median 10)`.
fn sides(sides: Sides) -> String {
    let Sides { min, median, max } = sides;
    if min == max { format!("{min} pixels") } else { format!("{min} to {max} pixels (median {median})") }
}

/// A number of TOML that has a point.
fn decimal(number: f64) -> String {
    format!("{number:?}")
}

fn gib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}
