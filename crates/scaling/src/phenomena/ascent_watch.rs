//! Intermittent coordinate ascent, record by record: what [`coordinate_ascent`](super::coordinate_ascent()) measures, while a
//! run is going on.
//!
//! A record costs a moving mean and a logarithm for each modality, however long the run is. The counts at a record hang on the
//! records before it alone, so whoever pushes the same records again stands where the watch stood.

use std::collections::VecDeque;

use super::coordinate_ascent::{Ascent, AscentSettings, ModalityAscent};
use crate::error::ScalingError;

/// Records that [`AscentWatch::recent`] looks back on.
pub const RECENT: usize = 100;

/// Counts coordinate ascent of two modalities or more as their losses come.
#[derive(Debug, Clone, PartialEq)]
pub struct AscentWatch {
    settings: AscentSettings,
    modalities: Vec<Watched>,
    /// Records from the first full window on.
    records: usize,
    /// Records at which some modality is flat while another falls.
    any: usize,
    /// Sign of the last difference between the falls of the first two modalities; 0 before there was one.
    sign: f64,
    /// How often it has changed.
    turns: usize,
    /// What the last records showed, the oldest first.
    recent: VecDeque<Standing>,
}

/// One of the modalities.
#[derive(Debug, Clone, PartialEq)]
struct Watched {
    name: String,
    /// The moving means of the last W + 1 records, the oldest first.
    means: VecDeque<f64>,
    flat: usize,
    flat_while_another_falls: usize,
    /// Such records in a row, until now and at most.
    run: usize,
    longest: usize,
}

/// What a record showed, by modality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whether it is flat while another falls.
    pub flat_while_another_falls: Vec<bool>,
}

impl Standing {
    /// Whether some modality is flat while another falls.
    pub fn any(&self) -> bool {
        self.flat_while_another_falls.contains(&true)
    }
}

impl AscentWatch {
    /// Over modalities of these names, before the first record.
    ///
    /// # Errors
    /// A setting is out of its range, or there are fewer than two modalities.
    pub fn new(names: Vec<String>, settings: AscentSettings) -> Result<Self, ScalingError> {
        settings.validate()?;
        if names.len() < 2 {
            return Err(ScalingError::too_few("modalities of a trace", 2, names.len()));
        }
        let modalities = names.into_iter().map(|name| Watched {
            name,
            means: VecDeque::with_capacity(settings.window.min(1 << 16) + 2),
            flat: 0,
            flat_while_another_falls: 0,
            run: 0,
            longest: 0,
        });
        let modalities = modalities.collect();
        Ok(Self {
            settings,
            modalities,
            records: 0,
            any: 0,
            sign: 0.0,
            turns: 0,
            recent: VecDeque::with_capacity(RECENT),
        })
    }

    /// The modalities, in the order of their losses.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.modalities.iter().map(|modality| modality.name.as_str())
    }

    /// Takes the losses of a record, in nats, in the order of the names; nothing comes of it before the first window is full.
    ///
    /// Where a loss is missing (NaN), or not finite and above 0, there is no record: a curve would be shifted against the others.
    pub fn push(&mut self, losses: &[f64]) -> Option<&Standing> {
        let is_whole = losses.len() == self.modalities.len();
        if !is_whole || !losses.iter().all(|loss| loss.is_finite() && *loss > 0.0) {
            return None;
        }
        let AscentSettings { window, flat, falling, .. } = self.settings;
        let mut falls = Vec::with_capacity(losses.len());
        for (modality, loss) in self.modalities.iter_mut().zip(losses) {
            falls.extend(modality.fall(*loss, self.settings.decay, window));
        }
        if falls.len() < losses.len() {
            return None;
        }
        self.records += 1;
        let stands = |at: usize| {
            let other_falls = falls.iter().enumerate().any(|(other, fall)| other != at && *fall >= falling);
            falls[at] < flat && other_falls
        };
        let standing = Standing { flat_while_another_falls: (0..falls.len()).map(stands).collect() };
        for ((modality, fall), stands) in self.modalities.iter_mut().zip(&falls).zip(&standing.flat_while_another_falls)
        {
            modality.count(*fall < flat, *stands);
        }
        self.any += usize::from(standing.any());
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(standing);
        let difference = falls[0] - falls[1];
        if difference != 0.0 {
            self.turns += usize::from(self.sign * difference < 0.0);
            self.sign = difference.signum();
        }
        self.recent.back()
    }

    /// What was counted so far; nothing before the first window is full.
    pub fn ascent(&self) -> Option<Ascent> {
        let records = self.records;
        let share = |count: usize| count as f64 / records as f64;
        let of = |modality: &Watched| ModalityAscent {
            modality: modality.name.clone(),
            flat: share(modality.flat),
            flat_while_another_falls: share(modality.flat_while_another_falls),
            longest: modality.longest,
        };
        let ascent =
            || Ascent { fraction: share(self.any), modalities: self.modalities.iter().map(of).collect(), records };
        (records > 0).then(ascent)
    }

    /// Of the last [`RECENT`] records, or as many as there were, the fraction at which some modality is flat while another falls,
    /// and the fraction at which each modality is; nothing before the first window is full.
    pub fn recent(&self) -> Option<(f64, Vec<f64>)> {
        let share = |count: usize| count as f64 / self.recent.len() as f64;
        let of = |modality: usize| {
            let stands = |standing: &&Standing| standing.flat_while_another_falls[modality];
            share(self.recent.iter().filter(stands).count())
        };
        let any = || share(self.recent.iter().filter(|standing| standing.any()).count());
        (!self.recent.is_empty()).then(|| (any(), (0..self.modalities.len()).map(of).collect()))
    }

    /// How often the first two modalities take turns, see [`sign_alternation`](super::sign_alternation); nothing before there
    /// are two neighboring records.
    pub fn alternation(&self) -> Option<f64> {
        (self.records > 1).then(|| self.turns as f64 / (self.records - 1) as f64)
    }
}

impl Watched {
    /// fall_k at the record of this loss, for k ≥ W.
    fn fall(&mut self, loss: f64, decay: f64, window: usize) -> Option<f64> {
        let before = self.means.back().copied().unwrap_or(loss);
        let mean = decay * before + (1.0 - decay) * loss;
        self.means.push_back(mean);
        if self.means.len() > window + 1 {
            self.means.pop_front();
        }
        let oldest = self.means.front().filter(|_| self.means.len() > window)?;
        Some((oldest / mean).ln())
    }

    fn count(&mut self, is_flat: bool, stands: bool) {
        self.flat += usize::from(is_flat);
        self.flat_while_another_falls += usize::from(stands);
        self.run = if stands { self.run + 1 } else { 0 };
        self.longest = self.longest.max(self.run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: AscentSettings = AscentSettings { decay: 0.0, window: 1, flat: 0.001, falling: 0.005 };

    fn watch(settings: AscentSettings) -> AscentWatch {
        AscentWatch::new(vec!["image".to_owned(), "text".to_owned()], settings).unwrap()
    }

    #[test]
    fn what_stands_at_a_record_needs_no_later_one() {
        let mut watch = watch(SETTINGS);
        assert_eq!(watch.push(&[4.0, 4.0]), None, "a window needs a record before it");
        assert_eq!(watch.push(&[4.0, 3.0]).unwrap().flat_while_another_falls, [true, false]);
        assert_eq!(watch.push(&[3.0, 3.0]).unwrap().flat_while_another_falls, [false, true]);
        assert!(!watch.push(&[3.0, 3.0]).unwrap().any(), "both are flat");
        assert!(!watch.push(&[2.0, 2.0]).unwrap().any(), "both fall");
        let ascent = watch.ascent().unwrap();
        assert_eq!((ascent.fraction, ascent.records), (0.5, 4));
        assert_eq!(ascent.modalities[0].flat_while_another_falls, 0.25);
        assert_eq!(watch.alternation(), Some(1.0 / 3.0));
    }

    #[test]
    fn what_is_recent_forgets_what_was_before() {
        let mut watch = watch(SETTINGS);
        let mut text = 4.0;
        // The image stands still for 200 records while text falls, then both fall for 40.
        let mut image = 4.0;
        for record in 0..=240 {
            text *= 0.99;
            image *= if record <= 200 { 1.0 } else { 0.99 };
            watch.push(&[image, text]);
        }
        assert_eq!(watch.recent().unwrap(), (0.6, vec![0.6, 0.0]));
        assert_eq!(watch.ascent().unwrap().fraction, 200.0 / 240.0);
    }

    #[test]
    fn a_record_that_lacks_a_loss_is_none() {
        let mut whole = watch(SETTINGS);
        let mut torn = watch(SETTINGS);
        for step in 0..20 {
            let losses = [4.0 / f64::from(1 + step), 4.0];
            whole.push(&losses);
            torn.push(&losses);
            for bad in [&[f64::NAN, 4.0][..], &[0.0, 4.0], &[4.0, f64::INFINITY], &[4.0]] {
                assert_eq!(torn.push(bad), None);
            }
        }
        assert_eq!(whole, torn);
        assert_eq!(whole.ascent().unwrap().fraction, 1.0);
    }

    #[test]
    fn the_same_records_again_lead_to_where_it_stood() {
        let smooth = AscentSettings { decay: 0.9, window: 7, flat: 0.01, falling: 0.02 };
        let losses: Vec<[f64; 2]> =
            (0..200).map(|k| [3.0 + (f64::from(k) / 9.0).sin(), 5.0 / (1.0 + 0.1 * f64::from(k % 40))]).collect();
        let mut whole = watch(smooth);
        losses.iter().for_each(|record| {
            whole.push(record);
        });
        let mut resumed = watch(smooth);
        for record in losses[..90].iter().chain(&losses[90..]) {
            resumed.push(record);
        }
        assert_eq!(resumed, whole);
        assert!(whole.ascent().unwrap().fraction > 0.0);
    }

    #[test]
    fn one_modality_and_wrong_settings_are_refused() {
        let one = AscentWatch::new(vec!["text".to_owned()], SETTINGS).unwrap_err().to_string();
        assert_eq!(one, "modalities of a trace: at least 2 needed, found 1");
        let wrong = AscentSettings { window: 0, ..SETTINGS };
        assert!(AscentWatch::new(vec!["a".to_owned(), "b".to_owned()], wrong).is_err());
        assert_eq!(watch(SETTINGS).ascent(), None);
        assert_eq!(watch(SETTINGS).alternation(), None);
    }
}
