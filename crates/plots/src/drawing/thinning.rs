//! A line of a million points as the few that can be seen: within a column of pixels its ends, its lowest and its highest.

/// Points up to which nothing is left out.
const FEW: usize = 2000;
/// Columns of a pixel.
const COLUMNS: f64 = 2.0;

/// Points of a line in pixels, of which consecutive ones in the same half of a pixel are at most four. What is drawn covers the
/// same pixels.
pub(super) fn thinned(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    if points.len() <= FEW {
        return points;
    }
    let mut kept = vec![];
    for column in points.chunk_by(|a, b| (a[0] * COLUMNS).floor() == (b[0] * COLUMNS).floor()) {
        let heights = || column.iter().enumerate();
        let lowest = heights().min_by(|a, b| a.1[1].total_cmp(&b.1[1])).map(|(index, _)| index);
        let highest = heights().max_by(|a, b| a.1[1].total_cmp(&b.1[1])).map(|(index, _)| index);
        let mut indices: Vec<usize> =
            [Some(0), lowest, highest, Some(column.len() - 1)].into_iter().flatten().collect();
        indices.sort_unstable();
        indices.dedup();
        kept.extend(indices.into_iter().map(|index| column[index]));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_keeps_its_ends_and_its_peaks() {
        let mut points: Vec<[f64; 2]> = (0..100_000).map(|i| [f64::from(i) / 250.0, f64::from(i % 7)]).collect();
        points[54_321][1] = 99.0;
        points[12_345][1] = -99.0;
        let kept = thinned(points.clone());
        assert!(kept.len() <= 4 * 801, "{}", kept.len());
        assert!(kept.contains(&points[54_321]) && kept.contains(&points[12_345]));
        assert_eq!([kept[0], kept[kept.len() - 1]], [points[0], points[99_999]]);
        assert_eq!(thinned(points[..2000].to_vec()).len(), 2000);
    }
}
