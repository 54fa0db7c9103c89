//! When a run has diverged, and how it is begun again.
//!
//! 2301.03728 (section 4) restarts a run with 0.8 of its learning rate when the training perplexity has not fallen for 500
//! million tokens. Its shortest runs have 5 billion, of which that is a tenth: here a window is a tenth of a run's tokens and at
//! most 500 million. A run that stands still is kept, since short runs end level by a falling learning rate; one has diverged
//! whose last window is above its best, by more than [`DIVERGED_ABOVE`] and by more than chance.

use crate::plan::learning_rates;
use crate::runs::Records;
use crate::settings::key_of;

/// By what the learning rate of the second attempt is multiplied.
pub const RATE_FACTOR: f64 = 0.8;
/// The longest window.
pub const WINDOW_TOKENS: f64 = 5e8;
/// A window as a fraction of a run.
pub const WINDOW_FRACTION: f64 = 0.1;
/// How far the last window's mean loss may be above the best one's, as a fraction of it.
pub const DIVERGED_ABOVE: f64 = 0.02;
/// And how many standard errors of the last window's mean.
const ERRORS_ABOVE: f64 = 4.0;
/// Steps below which nothing can be said.
const LEAST_STEPS: usize = 20;

/// Why a run has diverged; nothing if it has not. `batch_tokens` are the tokens of a step.
pub fn divergence(records: &Records, batch_tokens: f64) -> Option<String> {
    let losses = records.numbers("loss");
    if losses.len() < LEAST_STEPS {
        return None;
    }
    let most = (WINDOW_TOKENS / batch_tokens).max(1.0);
    let window = ((WINDOW_FRACTION * losses.len() as f64).ceil().min(most) as usize).max(1);
    let means: Vec<(f64, f64)> = losses.rchunks(window).map(mean_and_error).collect();
    let (last, error) = *means.first()?;
    if !last.is_finite() {
        return Some("the training loss is not finite at the end".to_owned());
    }
    let best = means.iter().map(|(mean, _)| *mean).filter(|mean| mean.is_finite()).fold(f64::INFINITY, f64::min);
    let margin = (DIVERGED_ABOVE * best.abs()).max(ERRORS_ABOVE * error);
    (last > best + margin)
        .then(|| format!("the training loss ended at {last:.4}, above the {best:.4} that it had reached"))
}

/// The mean of the finite losses and its standard error; NaN where none is finite.
fn mean_and_error(losses: &[f64]) -> (f64, f64) {
    let finite: Vec<f64> = losses.iter().copied().filter(|loss| loss.is_finite()).collect();
    let count = finite.len() as f64;
    let mean = finite.iter().sum::<f64>() / count;
    let variance = finite.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    (mean, (variance / count).sqrt())
}

/// Sets the learning rate of a second attempt.
pub(super) fn apply(overrides: &mut [String]) {
    let rate = overrides.iter().find_map(|change| change.strip_prefix("optimizer.learning_rate=")?.parse::<f64>().ok());
    let Some(rate) = rate else { return };
    for change in learning_rates(RATE_FACTOR * rate) {
        // A last learning rate of the user's is not among ours, and stays as it is.
        let ours = |other: &&mut String| key_of(other) == key_of(&change) && is_tenth(other, rate, key_of(&change));
        if let Some(place) = overrides.iter_mut().find(ours) {
            *place = change;
        }
    }
}

/// Whether a change is what goes with a peak learning rate.
fn is_tenth(change: &str, peak: f64, key: &str) -> bool {
    learning_rates(peak).iter().any(|ours| key_of(ours) == key && ours == change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::read_records;

    fn found(losses: impl Iterator<Item = f64>, batch_tokens: f64) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let line = |(step, loss): (usize, f64)| serde_json::json!({"step": step + 1, "loss": loss}).to_string() + "\n";
        std::fs::write(folder.path().join("metrics.jsonl"), losses.enumerate().map(line).collect::<String>()).unwrap();
        divergence(&read_records(folder.path()).unwrap(), batch_tokens)
    }

    #[test]
    fn only_what_ends_above_its_best_has_diverged() {
        let falling = |at: usize| 2.0 + 2.0 / (1.0 + at as f64 / 10.0);
        let noise = |at: usize| 0.2 * (12.9898 * at as f64).sin();
        assert_eq!(found((0..400).map(falling), 1e3), None);
        assert_eq!(found((0..400).map(|at| falling(at.min(100)) + noise(at)), 1e3), None, "level");
        assert_eq!(found((0..400).map(|at| if at == 150 { 9.0 } else { falling(at) }), 1e3), None, "a spike");
        let risen = found((0..400).map(|at| if at < 300 { falling(at) } else { 4.0 }), 1e3).unwrap();
        assert!(risen.contains("ended at 4.0000"), "{risen}");
        assert!(
            found((0..400).map(|at| if at < 300 { falling(at) } else { f64::NAN }), 1e3).unwrap().contains("finite")
        );
        assert_eq!(found((0..9).map(|at| at as f64), 1e3), None, "too short");
        // Windows of 500 M tokens are ten steps here, and the rise is in the last ten alone.
        let late = |at: usize| if at < 390 { falling(at) } else { 3.0 };
        assert!(found((0..400).map(late), 5e7).is_some());
    }

    #[test]
    fn a_second_attempt_has_a_lower_rate() {
        let mut ours: Vec<String> = learning_rates(1e-3).into_iter().chain(["run.seed=0".into()]).collect();
        apply(&mut ours);
        assert_eq!(ours, [learning_rates(8e-4)[0].clone(), learning_rates(8e-4)[1].clone(), "run.seed=0".into()]);
        let mut own = vec![learning_rates(1e-3)[0].clone(), "optimizer.final_learning_rate=0".into()];
        apply(&mut own);
        assert_eq!(own, [learning_rates(8e-4)[0].clone(), "optimizer.final_learning_rate=0".into()]);
    }
}
