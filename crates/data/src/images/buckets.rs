//! The sizes that images of different proportions are brought to: aspect ratio buckets.

use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// The most sizes: each waits for a batch of its own.
const MOST_SIZES: usize = 64;

/// Sizes that images of other proportions than those of `image_size` are brought to. A batch has images of one size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BucketsConfig {
    /// Heights and widths in pixels.
    pub sizes: Vec<[usize; 2]>,
    /// Height divided by width, each from 0.1 to 10; of each and every area of `areas` a size is made.
    pub ratios: Vec<f64>,
    /// Pixels of the sizes that are made of `ratios`; those of `image_size` if empty.
    pub areas: Vec<usize>,
    /// Sides of the sizes that are made of `ratios` are rounded to a multiple of so many pixels, at least 1: of what the
    /// autoencoder divides by, times the patch size.
    pub multiple: usize,
}

impl Default for BucketsConfig {
    fn default() -> Self {
        Self { sizes: vec![], ratios: vec![], areas: vec![], multiple: 8 }
    }
}

impl BucketsConfig {
    /// Every size once, beside that of images which say nothing else.
    pub(crate) fn sizes(&self, image_size: [usize; 2]) -> Vec<[usize; 2]> {
        let areas = if self.areas.is_empty() { vec![image_size[0] * image_size[1]] } else { self.areas.clone() };
        let made = areas.iter().flat_map(|&area| self.ratios.iter().map(move |&ratio| self.made(area, ratio)));
        let mut sizes = vec![];
        for size in self.sizes.iter().copied().chain(made) {
            if size != image_size && !sizes.contains(&size) {
                sizes.push(size);
            }
        }
        sizes
    }

    fn made(&self, area: usize, ratio: f64) -> [usize; 2] {
        let rounded = |side: f64| ((side / self.multiple as f64).round() as usize).max(1) * self.multiple;
        [rounded((area as f64 * ratio).sqrt()), rounded((area as f64 / ratio).sqrt())]
    }

    /// Checks every value; no side may be longer than `longest`.
    ///
    /// # Errors
    /// Names the key, what was expected and what was found.
    pub(crate) fn validate(&self, image_size: [usize; 2], longest: usize) -> Result<(), DataError> {
        if self.multiple == 0 {
            return Err(DataError::config("data.buckets.multiple", "at least 1", 0));
        }
        if let Some(ratio) = self.ratios.iter().find(|ratio| !(0.1..=10.0).contains(*ratio)) {
            return Err(DataError::config("data.buckets.ratios", "height ÷ width, from 0.1 to 10", ratio));
        }
        if self.ratios.is_empty() && !self.areas.is_empty() {
            return Err(DataError::config("data.buckets.areas", "none where there are no ratios", self.areas.len()));
        }
        let sizes = self.sizes(image_size);
        if sizes.is_empty() {
            let expected = "sizes, or ratios, that give other sizes than data.image_size";
            return Err(DataError::config("data.buckets", expected, "none"));
        }
        if sizes.len() > MOST_SIZES {
            return Err(DataError::config("data.buckets", format!("at most {MOST_SIZES} sizes"), sizes.len()));
        }
        let too_long = |size: &&[usize; 2]| size.iter().any(|side| !(1..=longest).contains(side));
        match sizes.iter().find(too_long) {
            Some(size) => {
                let expected = format!("heights and widths from 1 to {longest} pixels");
                Err(DataError::config("data.buckets", expected, format!("{size:?}")))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_made_of_ratios_and_areas_and_each_is_there_once() {
        let buckets = BucketsConfig { ratios: vec![1.0, 0.6, 1.0 / 0.6, 0.61], multiple: 16, ..Default::default() };
        assert_eq!(buckets.sizes([64, 64]), [[48, 80], [80, 48]]);
        let areas = BucketsConfig { areas: vec![64 * 64, 128 * 128], ratios: vec![1.0, 0.5], ..Default::default() };
        assert_eq!(areas.sizes([64, 64]), [[48, 88], [128, 128], [88, 184]]);
        let named = BucketsConfig { sizes: vec![[64, 64], [32, 96]], ..Default::default() };
        assert_eq!(named.sizes([64, 64]), [[32, 96]]);
    }

    #[test]
    fn values_that_make_no_size_name_their_key() {
        let refused = |buckets: BucketsConfig| buckets.validate([64, 64], 4096).unwrap_err().to_string();
        let with = BucketsConfig::default;
        assert!(refused(with()).contains("data.buckets"));
        assert!(refused(BucketsConfig { sizes: vec![[64, 64]], ..with() }).contains("data.buckets"));
        assert!(refused(BucketsConfig { sizes: vec![[0, 64]], ..with() }).contains("[0, 64]"));
        assert!(refused(BucketsConfig { ratios: vec![f64::NAN], ..with() }).contains("data.buckets.ratios"));
        assert!(refused(BucketsConfig { areas: vec![9], ..with() }).contains("data.buckets.areas"));
        assert!(refused(BucketsConfig { multiple: 0, ..with() }).contains("data.buckets.multiple"));
        let many = (1..100).map(|side| [side, 64]).collect();
        assert!(refused(BucketsConfig { sizes: many, ..with() }).contains("at most 64"));
    }
}
