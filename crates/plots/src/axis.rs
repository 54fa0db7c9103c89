//! An axis: what it is called, how its values are spaced, and where they lie on the paper.

use crate::error::{PlotError, Result};
use crate::ticks::{self, Tick, Ticks};

/// An axis of a [`crate::Figure`].
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub(crate) label: String,
    pub(crate) spacing: Spacing,
    limits: Option<[f64; 2]>,
}

/// How values are spaced.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Spacing {
    Linear,
    Logarithmic,
    /// Names side by side; the first stands at 0, the next at 1.
    Categories(Vec<String>),
}

impl Axis {
    /// Equal differences are equal lengths. The label says what is counted and in which unit.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), spacing: Spacing::Linear, limits: None }
    }

    /// Equal ratios are equal lengths; every value must be above 0.
    pub fn logarithmic(label: impl Into<String>) -> Self {
        Self { label: label.into(), spacing: Spacing::Logarithmic, limits: None }
    }

    /// Names side by side, for [`crate::Series::bars`].
    pub fn categories<S: Into<String>>(label: impl Into<String>, names: impl IntoIterator<Item = S>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        Self { label: label.into(), spacing: Spacing::Categories(names), limits: None }
    }

    /// The ends of the axis, in its values. Without them it holds all values, with a little room.
    #[must_use]
    pub fn within(self, low: f64, high: f64) -> Self {
        Self { limits: Some([low, high]), ..self }
    }

    pub(crate) fn is_logarithmic(&self) -> bool {
        self.spacing == Spacing::Logarithmic
    }

    pub(crate) fn is_categories(&self) -> bool {
        matches!(self.spacing, Spacing::Categories(_))
    }

    /// The axis laid over `pixels`, from its lower to its upper end, for values of which `extent` are the least and largest; with
    /// fractions of its length as room below and above them.
    pub(crate) fn laid(&self, extent: Option<[f64; 2]>, room: [f64; 2], pixels: [f64; 2]) -> Result<Frame> {
        let logarithmic = self.is_logarithmic();
        let [low, high] = match (&self.spacing, self.limits) {
            (Spacing::Categories(names), _) => [-0.5, names.len().max(1) as f64 - 0.5],
            (_, Some([low, high])) => {
                let sound = low < high && low.abs().max(high.abs()) <= crate::series::LARGEST;
                if !sound || (logarithmic && low < crate::series::LARGEST.recip()) {
                    return Err(PlotError::Limits { axis: self.label.clone(), low, high });
                }
                [low, high]
            }
            (_, None) => widened(extent, logarithmic, room),
        };
        Ok(Frame { logarithmic, low, high, pixels })
    }

    /// The marks of the axis, at most about `count`.
    pub(crate) fn ticks(&self, frame: &Frame, count: usize) -> Ticks {
        match &self.spacing {
            Spacing::Linear => ticks::linear(frame.low, frame.high, count),
            Spacing::Logarithmic => ticks::logarithmic(frame.low, frame.high, count),
            Spacing::Categories(names) => {
                let tick = |(index, label): (usize, &String)| Tick { value: index as f64, label: label.clone() };
                Ticks { major: names.iter().enumerate().map(tick).collect(), minor: vec![], factor: None }
            }
        }
    }
}

/// The values' extent with fractions of its length as room below and above; a single value is given a length.
fn widened(extent: Option<[f64; 2]>, logarithmic: bool, room: [f64; 2]) -> [f64; 2] {
    let Some([low, high]) = extent else { return if logarithmic { [1.0, 10.0] } else { [0.0, 1.0] } };
    if logarithmic {
        let [low, high] = [low.log10(), high.log10()];
        let room = if high - low < 1e-9 { [0.15; 2] } else { room.map(|part| (high - low) * part) };
        return [10f64.powf(low - room[0]), 10f64.powf(high + room[1])];
    }
    let magnitude = low.abs().max(high.abs());
    let length = high - low;
    let room = match length > magnitude * 1e-9 && length > 1e-90 {
        true => room.map(|part| length * part),
        false if magnitude > 1e-90 => [magnitude * 0.1; 2],
        false => [1.0; 2],
    };
    [low - room[0], high + room[1]]
}

/// An axis laid over the paper.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Frame {
    pub(crate) logarithmic: bool,
    /// The value at the axis' lower end.
    pub(crate) low: f64,
    /// The value at the axis' upper end.
    pub(crate) high: f64,
    /// Where the ends lie.
    pixels: [f64; 2],
}

impl Frame {
    /// Where a value lies, in pixels; outside of the ends for values beyond them.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let straight = |x: f64| if self.logarithmic { x.log10() } else { x };
        let [low, high, value] = [self.low, self.high, value].map(straight);
        let [start, end] = self.pixels;
        start + (value - low) / (high - low) * (end - start)
    }

    /// Whether a value lies between the ends, but for rounding.
    pub(crate) fn holds(&self, value: f64) -> bool {
        let place = self.place(value);
        let [start, end] = self.pixels;
        place >= start.min(end) - 0.01 && place <= start.max(end) + 0.01
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_lie_at_the_ends_and_the_middle_between() {
        let linear = Axis::linear("x").within(0.0, 10.0).laid(None, [0.0; 2], [100.0, 0.0]).unwrap();
        assert_eq!([0.0, 5.0, 10.0].map(|x| linear.place(x)), [100.0, 50.0, 0.0]);
        let log = Axis::logarithmic("x").within(1.0, 100.0).laid(None, [0.0; 2], [0.0, 100.0]).unwrap();
        assert_eq!([1.0, 10.0, 100.0].map(|x| log.place(x)), [0.0, 50.0, 100.0]);
        assert!(log.holds(1.0) && log.holds(100.0) && !log.holds(0.9));
    }

    #[test]
    fn one_value_is_given_a_length() {
        for value in [0.0, 3.0, -1e-7, 1e80, 5e-324] {
            let [low, high] = widened(Some([value, value]), false, [0.05; 2]);
            assert!(low < value && value < high, "{value}");
        }
        let [low, high] = widened(Some([3.0, 3.0]), true, [0.05; 2]);
        assert!(low < 3.0 && 3.0 < high && low > 1.0);
        // Apart by less than a label could tell.
        let [low, high] = widened(Some([1.0, 1.0 + 1e-15]), false, [0.05; 2]);
        assert!(high - low > 0.1);
    }

    #[test]
    fn limits_that_are_none_are_refused() {
        for [low, high] in [[1.0, 1.0], [2.0, 1.0], [f64::NAN, 1.0], [0.0, f64::INFINITY], [0.0, 1e200]] {
            let found = Axis::linear("loss").within(low, high).laid(None, [0.0; 2], [0.0, 1.0]);
            assert!(matches!(found, Err(PlotError::Limits { .. })), "{low} {high}");
        }
        let found = Axis::logarithmic("loss").within(0.0, 1.0).laid(None, [0.0; 2], [0.0, 1.0]).unwrap_err();
        assert_eq!(
            found.to_string(),
            "axis \"loss\": expected finite limits, the lower first and above 0 on a logarithmic axis, found 0 and 1"
        );
    }
}
