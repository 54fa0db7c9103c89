//! Which items training does not see.
//!
//! The choice hangs on each item's name alone, so that it stays the same when images are added,
//! reordered or opened on another machine, and a resumed run never trains on what an earlier one
//! measured itself by.

pub(super) use interfuse_shards::stream::held_out::place;

/// Marks the items that are held out: those whose name falls into `fraction`, a number from 0 to below
/// 1.
///
/// Items of equal name fall on the same side. Where both sides can be filled they are: a fraction
/// above 0 holds out at least one name and leaves at least one for training. A single name is never
/// held out.
pub(crate) fn held_out<'a>(names: impl Iterator<Item = &'a str>, fraction: f64) -> Vec<bool> {
    marked(&names.map(place).collect::<Vec<_>>(), fraction)
}

/// The same, of the places of names.
pub(super) fn marked(places: &[f64], fraction: f64) -> Vec<bool> {
    let smallest = places.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = places.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if fraction <= 0.0 || smallest >= largest {
        return vec![false; places.len()];
    }
    places.iter().map(|&place| place == smallest || (place < fraction && place < largest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("{index:06}.png")).collect()
    }

    fn marks(names: &[String], fraction: f64) -> Vec<bool> {
        held_out(names.iter().map(String::as_str), fraction)
    }

    #[test]
    fn the_share_is_met_and_each_choice_is_stable() {
        let all = names(4000);
        let full = marks(&all, 0.1);
        let count = full.iter().filter(|&&held| held).count();
        assert!((340..=460).contains(&count), "{count} of 4000");
        assert_eq!(marks(&all[..1000], 0.1), full[..1000]);
    }

    #[test]
    fn both_sides_are_filled_where_they_can_be() {
        for fraction in [0.0001, 0.5, 0.9999] {
            let two = marks(&names(2), fraction);
            assert_eq!(two.iter().filter(|&&held| held).count(), 1, "fraction {fraction}");
        }
        assert_eq!(marks(&names(1), 0.5), [false]);
        assert_eq!(marks(&names(3), 0.0), [false; 3]);
        assert!(marks(&[], 0.5).is_empty());
    }

    #[test]
    fn equal_names_stay_together() {
        let twice: Vec<String> = names(50).into_iter().flat_map(|name| [name.clone(), name]).collect();
        let marks = marks(&twice, 0.3);
        assert!(marks.chunks(2).all(|pair| pair[0] == pair[1]));
    }
}
