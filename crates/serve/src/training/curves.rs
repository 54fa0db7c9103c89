//! Curves of a run, thinned so that a long one is as quick to draw as a short one.

use serde::Serialize;

use super::MetricPoint;

/// A curve under its name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Curve {
    name: String,
    /// Step and value.
    points: Vec<(u64, f64)>,
}

/// Stretches that a long curve is cut into; each keeps its lowest and its highest point.
const STRETCHES: usize = 600;
/// The most curves that are told of.
const MOST_CURVES: usize = 64;

/// Curves in the order in which their names first come.
pub(crate) fn of(points: Vec<MetricPoint>) -> Vec<Curve> {
    let mut curves: Vec<Curve> = vec![];
    let mut places = std::collections::HashMap::new();
    for MetricPoint { name, step, value } in points.into_iter().filter(|point| point.value.is_finite()) {
        let place = *places.entry(name).or_insert_with_key(|name| {
            curves.push(Curve { name: name.clone(), points: vec![] });
            curves.len() - 1
        });
        curves[place].points.push((step, value));
    }
    curves.truncate(MOST_CURVES);
    for curve in &mut curves {
        curve.points = thinned(std::mem::take(&mut curve.points));
    }
    curves
}

/// At most two points a stretch: peaks are what a mean would hide.
fn thinned(points: Vec<(u64, f64)>) -> Vec<(u64, f64)> {
    if points.len() <= 2 * STRETCHES {
        return points;
    }
    let mut kept = Vec::with_capacity(2 * STRETCHES);
    for stretch in points.chunks(points.len().div_ceil(STRETCHES)) {
        let by_value = |a: &&(u64, f64), b: &&(u64, f64)| a.1.total_cmp(&b.1);
        let ends = [stretch.iter().min_by(by_value), stretch.iter().max_by(by_value)];
        let mut ends: Vec<(u64, f64)> = ends.into_iter().flatten().copied().collect();
        ends.sort_by_key(|point| point.0);
        ends.dedup();
        kept.extend(ends);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(name: &str, step: u64, value: f64) -> MetricPoint {
        MetricPoint { name: name.into(), step, value }
    }

    #[test]
    fn points_are_sorted_by_name_and_non_finite_ones_left_out() {
        let curves = of(vec![point("b", 1, 2.0), point("a", 1, f64::NAN), point("a", 2, 1.0), point("b", 2, 3.0)]);
        assert_eq!(curves.len(), 2);
        assert_eq!(curves[0], Curve { name: "b".into(), points: vec![(1, 2.0), (2, 3.0)] });
        assert_eq!(curves[1].points, [(2, 1.0)]);
    }

    #[test]
    fn a_long_curve_keeps_its_peaks_and_its_order() {
        let value = |step: u64| if step == 5_000 { 100.0 } else { (step % 7) as f64 };
        let curves = of((0..10_000).map(|step| point("loss", step, value(step))).collect());
        let points = &curves[0].points;
        assert!(points.len() <= 2 * STRETCHES, "{}", points.len());
        assert!(points.contains(&(5_000, 100.0)));
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
