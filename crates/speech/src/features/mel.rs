//! Kaldi's mel filters: triangles that are straight on the mel axis, `mel(f) = 1127 ln(1 + f/700)`.

/// The lowest frequency of the lowest filter, in Hz; the highest filter ends at half the sample rate.
const LOWEST: f64 = 20.0;

/// One triangle: its weights from a bin of the power spectrum on.
#[derive(Clone)]
pub(super) struct MelFilter {
    first: usize,
    weights: Vec<f64>,
}

impl MelFilter {
    /// The energy that passes.
    ///
    /// # Shapes
    /// - `power`: `[fft / 2 + 1]`
    pub(super) fn energy(&self, power: &[f64]) -> f64 {
        self.weights.iter().zip(&power[self.first..]).map(|(weight, power)| weight * power).sum()
    }
}

/// `count` filters over the bins of a transform of `fft` points; the bin of half the sample rate belongs to none.
pub(super) fn mel_filters(count: usize, rate: u32, fft: usize) -> Vec<MelFilter> {
    let bin_width = f64::from(rate) / fft as f64;
    let (low, high) = (mel(LOWEST), mel(f64::from(rate) / 2.0));
    let step = (high - low) / (count + 1) as f64;
    let filter = |index: usize| {
        let [left, center, right] = [0, 1, 2].map(|corner| low + (index + corner) as f64 * step);
        let weight = |bin: usize| {
            let mel = mel(bin_width * bin as f64);
            ((mel - left) / (center - left)).min((right - mel) / (right - center)).max(0.0)
        };
        let weights: Vec<f64> = (0..fft / 2).map(weight).collect();
        let first = weights.iter().position(|&weight| weight > 0.0).unwrap_or(0);
        let last = weights.iter().rposition(|&weight| weight > 0.0).map_or(first, |last| last + 1);
        MelFilter { first, weights: weights[first..last].to_vec() }
    };
    (0..count).map(filter).collect()
}

fn mel(hertz: f64) -> f64 {
    1127.0 * (1.0 + hertz / 700.0).ln()
}
