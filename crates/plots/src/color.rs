//! Colours that people tell apart, whatever kind of colour vision they have.
//!
//! Series take the palette of Okabe and Ito (Color Universal Design, 2008). Heat maps take viridis (van der Walt and Smith
//! 2015, public domain), whose lightness rises evenly, or, around zero, the blue and red of ColorBrewer's `RdBu`
//! (Brewer 2003, Apache License 2.0).

/// The colour of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Blue, the first of the cycle.
    Blue,
    /// Vermilion.
    Vermilion,
    /// Bluish green.
    Green,
    /// Reddish purple.
    Purple,
    /// Orange.
    Orange,
    /// Sky blue.
    Sky,
    /// Yellow, faint on white; the last of the cycle.
    Yellow,
    /// That of the text around: black on white, white on black.
    Ink,
}

impl Color {
    /// The order in which series are given colours.
    pub const CYCLE: [Self; 7] =
        [Self::Blue, Self::Vermilion, Self::Green, Self::Purple, Self::Orange, Self::Sky, Self::Yellow];

    /// The name in SVG and CSS.
    pub fn css(self) -> &'static str {
        match self {
            Self::Blue => "#0072b2",
            Self::Vermilion => "#d55e00",
            Self::Green => "#009e73",
            Self::Purple => "#cc79a7",
            Self::Orange => "#e69f00",
            Self::Sky => "#56b4e9",
            Self::Yellow => "#f0e442",
            Self::Ink => "currentColor",
        }
    }
}

/// How a heat map's values become colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorMap {
    /// From dark violet over green to yellow, for values of one sign.
    Sequential,
    /// From blue over white to red, with white at zero, for values of both signs.
    Diverging,
}

const VIRIDIS: [u32; 10] =
    [0x440154, 0x482878, 0x3e4989, 0x31688e, 0x26828e, 0x1f9e89, 0x35b779, 0x6ece58, 0xb5de2b, 0xfde725];
const BLUE_RED: [u32; 9] = [0x2166ac, 0x4393c3, 0x92c5de, 0xd1e5f0, 0xf7f7f7, 0xfddbc7, 0xf4a582, 0xd6604d, 0xb2182b];

/// Distinct colours of a map: few enough that neighbouring cells share one, more than the eye counts.
pub(crate) const LEVELS: usize = 128;

impl ColorMap {
    /// The colour of level 0 to `LEVELS` - 1, as `#rrggbb`.
    pub(crate) fn css(self, level: usize) -> String {
        let stops: &[u32] = match self {
            Self::Sequential => &VIRIDIS,
            Self::Diverging => &BLUE_RED,
        };
        let place = level.min(LEVELS - 1) as f64 / (LEVELS - 1) as f64 * (stops.len() - 1) as f64;
        let below = (place as usize).min(stops.len() - 2);
        let channel = |shift: u32| {
            let [a, b] = [stops[below], stops[below + 1]].map(|stop| f64::from(stop >> shift & 255));
            (a + (b - a) * (place - below as f64)).round() as u8
        };
        format!("#{:02x}{:02x}{:02x}", channel(16), channel(8), channel(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(css: &str) -> [f64; 3] {
        [1, 3, 5].map(|at| f64::from(u8::from_str_radix(&css[at..at + 2], 16).unwrap()) / 255.0)
    }

    /// Relative luminance (WCAG 2.1).
    fn luminance(css: &str) -> f64 {
        let linear = |c: f64| if c <= 0.03928 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
        let [r, g, b] = channels(css).map(linear);
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    #[test]
    fn a_sequential_map_only_grows_lighter() {
        let lights: Vec<f64> = (0..LEVELS).map(|level| luminance(&ColorMap::Sequential.css(level))).collect();
        assert!(lights.windows(2).all(|pair| pair[1] >= pair[0]), "{lights:?}");
        assert_eq!(ColorMap::Sequential.css(0), "#440154");
        assert_eq!(ColorMap::Sequential.css(usize::MAX), "#fde725");
    }

    #[test]
    fn a_diverging_map_is_lightest_in_the_middle() {
        let lights: Vec<f64> = (0..LEVELS).map(|level| luminance(&ColorMap::Diverging.css(level))).collect();
        let lightest = (0..LEVELS).max_by(|a, b| lights[*a].total_cmp(&lights[*b])).unwrap();
        assert!(lightest.abs_diff(LEVELS / 2) <= 1);
    }

    /// Deuteranopes see by the long and the short cones: the colours of the cycle must differ there as well (Viénot 1999).
    #[test]
    fn the_first_four_of_the_cycle_differ_without_green_cones() {
        let seen = |color: &Color| {
            let [r, g, b] = channels(color.css()).map(|c| c.powf(2.2));
            [0.29275 * r + 0.70725 * g, -0.02234 * r + 0.02234 * g + b].map(|c| c.max(0.0).powf(1.0 / 2.2))
        };
        for (index, a) in Color::CYCLE[..4].iter().enumerate() {
            for b in &Color::CYCLE[index + 1..4] {
                let [x, y] = [seen(a), seen(b)];
                let distance = ((x[0] - y[0]).powi(2) + (x[1] - y[1]).powi(2)).sqrt();
                assert!(distance > 0.12, "{a:?} {b:?} {distance}");
            }
        }
    }
}
