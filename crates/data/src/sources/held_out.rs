//! Which items training does not see.
//!
//! The choice hangs on each item's name alone, so that it stays the same when images are added,
//! reordered or opened on another machine, and a resumed run never trains on what an earlier one
//! measured itself by.

/// Marks the items that are held out: those whose name falls into `fraction`, a number from 0 to below
/// 1.
///
/// Items of equal name fall on the same side. Where both sides can be filled they are: a fraction
/// above 0 holds out at least one name and leaves at least one for training. A single name is never
/// held out.
pub(crate) fn held_out<'a>(names: impl Iterator<Item = &'a str>, fraction: f64) -> Vec<bool> {
    let places: Vec<f64> = names.map(place).collect();
    let smallest = places.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = places.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if fraction <= 0.0 || smallest >= largest {
        return vec![false; places.len()];
    }
    places.iter().map(|&place| place == smallest || (place < fraction && place < largest)).collect()
}

/// The place of a name in [0, 1): uniform over names and fixed for each.
pub(super) fn place(name: &str) -> f64 {
    // FNV-1a alone leaves short names close together; the finaliser of SplitMix64 spreads them.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    // The upper 53 bits are what an f64 holds exactly.
    (hash >> 11) as f64 / (1_u64 << 53) as f64
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
        // The very values are part of the promise: a change would leak held-out images into
        // resumed runs.
        assert_eq!((place("000000.png") * 1e6) as u64, PLACE_OF_FIRST);
    }

    const PLACE_OF_FIRST: u64 = 637_484;

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
