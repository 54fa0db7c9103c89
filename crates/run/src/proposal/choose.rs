//! The rules: from facts and speed to a proposal.

use super::candidate::Candidate;
use super::facts::Facts;
use super::recipe::Recipe;
use super::speed::{Speed, Timing};
use crate::error::{Result, refuse};

/// Of the minutes, what is left to previews, held-out losses and checkpoints, and to a machine that is at times slower.
pub(super) const RESERVED: f64 = 0.15;
/// Of the steps, what previews and held-out losses may cost.
const LOOKING: f64 = 0.1;
/// The most rounds of previews, held-out losses and checkpoints.
const MOST_ROUNDS: f64 = 10.0;
/// Minutes between two rounds, at least.
const ROUND_MINUTES: f64 = 0.5;
/// Documents of a step, unless there were too many steps. Few documents and many steps learn more of as many documents (LOG.md,
/// recipes for the quickstart).
pub(super) const DOCUMENTS: usize = 16;
/// Steps from which on they have more documents: the presets take 4,200 to 7,000.
const MANY_STEPS: usize = 10_000;
/// The most documents of a step.
const MOST_DOCUMENTS: usize = 1024;
/// Documents that a micro-batch should have where memory allows it: fewer are packed badly.
const PACKED_WELL: usize = 8;
/// Learning rate of the presets, and the width up to which it holds.
const LEARNING_RATE: (f64, f64) = (2e-3, 192.0);
/// Decay rates of the moving average.
const DECAYS: [f64; 6] = [0.9999, 0.9995, 0.999, 0.995, 0.99, 0.95];
/// Held-out images, and times at which each is measured in both orders; images of a preview. Their defaults.
const HELD_OUT_PASSES: f64 = 64.0 * 5.0 * 2.0;
const PREVIEWS: f64 = 16.0;

/// Which candidate the speed is measured on besides the cheapest.
const MIDDLING: usize = 5;

/// A configuration that fits.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// What was known.
    pub facts: Facts,
    /// Which preset's settings it takes.
    pub recipe: Recipe,
    /// Its patch size and model size.
    pub candidate: Candidate,
    /// Documents of a step.
    pub documents: usize,
    /// Micro-batches of a step.
    pub micro_batches: usize,
    /// Optimizer steps.
    pub steps: u64,
    /// Seconds of a step, as measured or by [`Speed`].
    pub seconds_per_step: f64,
    /// Seconds that are left for steps.
    pub seconds: f64,
    /// Documents that are enough, where more minutes would give a dearer candidate instead.
    pub enough: Option<f64>,
    /// Bytes that it takes, estimated.
    pub memory: usize,
}

/// Chooses patch, model, batch and steps.
///
/// Minutes are spent on documents until there are as many as the recipe wants, then on the dearest candidate that still gets
/// as many. So more minutes never give fewer rows in all.
///
/// # Errors
/// When the minutes are out of range, or not even the smallest candidate fits into memory.
pub fn propose(facts: &Facts, speed: Speed) -> Result<Proposal> {
    facts.validate()?;
    let recipe = facts.recipe();
    let candidates = fitting(facts)?;
    let seconds = available(facts);
    // A multiple of every number of documents that a step may have, so that whole steps make just as many.
    let wanted = (recipe.wanted_documents(facts.trained_on()) as usize).next_multiple_of(MOST_DOCUMENTS) as f64;
    let (_, reading) = facts.reading_seconds();
    let seconds_of = |candidate: &Candidate, documents: usize| {
        let documents = documents as f64;
        speed.seconds(candidate.flops(facts) * documents).max(reading * documents)
    };
    let within = |candidate: &Candidate| DOCUMENTS as f64 * seconds / seconds_of(candidate, DOCUMENTS);
    let place = candidates.iter().rposition(|candidate| within(candidate) >= wanted).unwrap_or(0);
    let candidate = candidates[place];
    let next = candidates.get(place + 1);
    let enough = next.map(|next| wanted * next.rows(facts) / candidate.rows(facts));
    let documents = documents(within(&candidate).min(enough.unwrap_or(f64::INFINITY)));
    let micro_batches = micro_batches(facts, &candidate, documents);
    let proposal = Proposal {
        facts: facts.clone(),
        recipe,
        candidate,
        documents,
        micro_batches,
        steps: 1,
        // A step of more documents takes no more than as many steps of fewer.
        seconds_per_step: seconds_of(&candidate, DOCUMENTS) * documents as f64 / DOCUMENTS as f64,
        seconds,
        enough,
        memory: candidate.memory(facts, documents / micro_batches, facts.at_once.min(micro_batches)),
    };
    Ok(proposal.with_steps())
}

/// The candidates that fit into memory, even if one document at a time.
fn fitting(facts: &Facts) -> Result<Vec<Candidate>> {
    let all = Candidate::all(facts);
    let least = |candidate: &Candidate| candidate.memory(facts, 1, facts.at_once);
    let limit = facts.memory.unwrap_or(usize::MAX);
    let fit: Vec<Candidate> = all.iter().copied().take_while(|candidate| least(candidate) <= limit).collect();
    if fit.is_empty() {
        let gib = |bytes: usize| bytes as f64 / f64::from(1 << 30);
        refuse!(
            "--memory: expected at least {:.1} GiB, which the smallest model takes at images of {}, found {:.1}",
            all.first().map_or(0.0, |candidate| gib(least(candidate))),
            facts.wishes.size,
            gib(limit)
        );
    }
    Ok(fit)
}

/// Seconds that are left for steps.
fn available(facts: &Facts) -> f64 {
    let (reading, _) = facts.reading_seconds();
    let minutes = 60.0 * facts.wishes.minutes * (1.0 - RESERVED);
    // However long images take to read, something is trained.
    (minutes - reading).max(0.1 * minutes)
}

/// Documents of a step, for so many documents in all. It doubles at whole numbers of steps, so that rounding loses nothing.
fn documents(all: f64) -> usize {
    let mut documents = DOCUMENTS;
    while documents < MOST_DOCUMENTS && all > (documents * MANY_STEPS) as f64 {
        documents *= 2;
    }
    documents
}

/// One for each core while they are packed well; more where they would not fit into memory.
fn micro_batches(facts: &Facts, candidate: &Candidate, documents: usize) -> usize {
    let most = facts.at_once.min((documents / PACKED_WELL).max(1));
    let mut count = 1;
    while 2 * count <= most {
        count *= 2;
    }
    let fits = |count: usize| {
        let bytes = candidate.memory(facts, documents / count, facts.at_once.min(count));
        facts.memory.is_none_or(|limit| bytes <= limit)
    };
    while count < documents && !fits(count) {
        count *= 2;
    }
    count
}

impl Proposal {
    /// As many steps as fit into the seconds, and no more than give enough documents.
    fn with_steps(mut self) -> Self {
        let within = self.seconds / self.seconds_per_step;
        let enough = self.enough.map_or(f64::INFINITY, |documents| documents / self.documents as f64);
        self.steps = (within.min(enough).floor() as u64).max(1);
        self
    }

    /// The same with a step that was measured instead of predicted.
    #[must_use]
    pub fn timed(mut self, timing: Timing) -> Self {
        let (_, reading) = self.facts.reading_seconds();
        self.seconds_per_step = timing.seconds.max(reading * self.documents as f64);
        self.with_steps()
    }

    /// The cheapest and a middling candidate, in steps of a few documents: what a machine's speed is measured on.
    ///
    /// # Errors
    /// As [`propose`].
    pub(super) fn to_measure(facts: &Facts) -> Result<[Self; 2]> {
        facts.validate()?;
        let candidates = fitting(facts)?;
        let of = |place: usize| {
            let candidate = candidates[place.min(candidates.len() - 1)];
            let micro_batches = micro_batches(facts, &candidate, DOCUMENTS);
            Self {
                facts: facts.clone(),
                recipe: facts.recipe(),
                candidate,
                documents: DOCUMENTS,
                micro_batches,
                steps: 1_000_000,
                seconds_per_step: 1.0,
                seconds: 1e6,
                enough: None,
                memory: 0,
            }
        };
        Ok([of(0), of(MIDDLING)])
    }

    /// Rows of all steps together, padding left out.
    pub fn row_steps(&self) -> f64 {
        (self.steps as usize * self.documents) as f64 * self.candidate.rows(&self.facts)
    }

    /// How often each image comes up.
    pub fn sights(&self) -> f64 {
        (self.steps as usize * self.documents) as f64 / self.facts.trained_on() as f64
    }

    /// Minutes that steps take.
    pub fn minutes(&self) -> f64 {
        self.steps as f64 * self.seconds_per_step / 60.0
    }

    /// The presets' up to their width, and less in proportion beyond.
    pub fn learning_rate(&self) -> f64 {
        let (rate, width) = LEARNING_RATE;
        let rate = rate * (width / self.candidate.d_model as f64).min(1.0);
        (rate * 1e5).round() / 1e5
    }

    /// An eightieth of the steps, as in the presets.
    pub fn warmup_steps(&self) -> u64 {
        (self.steps / 80).clamp(1, 500).min(self.steps / 2)
    }

    /// The slowest average that looks back over a twentieth of the steps at most.
    pub fn ema_decay(&self) -> f64 {
        let looks_back = |decay: &f64| 20.0 / (1.0 - decay) <= self.steps as f64;
        DECAYS.into_iter().find(looks_back).unwrap_or(0.9)
    }

    /// Steps between previews, held-out losses and checkpoints: ten rounds, fewer where they would cost too much.
    pub fn interval(&self) -> u64 {
        let (steps, guidance) = self.recipe.sampling();
        let twice = if guidance == 1.0 { 1.0 } else { 2.0 };
        // A forward pass is a third of a step on the same rows.
        let cost = (HELD_OUT_PASSES + PREVIEWS * steps as f64 * twice) / (3.0 * self.documents as f64);
        let rounds = (LOOKING * self.steps as f64 / cost).min(self.minutes() / ROUND_MINUTES).min(MOST_ROUNDS);
        rounded_up((self.steps as f64 / rounds.floor().max(1.0)).ceil() as u64)
    }
}

/// The next number of two digits and noughts.
fn rounded_up(number: u64) -> u64 {
    let mut unit = 1;
    while number / unit >= 100 {
        unit *= 10;
    }
    number.next_multiple_of(unit)
}

#[cfg(test)]
mod unit_tests {
    use super::rounded_up;

    #[test]
    fn numbers_are_rounded_up_to_two_digits() {
        for (number, rounded) in [(1, 1), (42, 42), (99, 99), (101, 110), (123, 130), (5120, 5200), (70_001, 71_000)] {
            assert_eq!(rounded_up(number), rounded);
        }
    }
}
