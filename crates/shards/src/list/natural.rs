//! The order in which people number files: `2.tar` before `10.tar`.

use std::cmp::Ordering;

/// Compares names with runs of digits as numbers; names that are then equal are compared letter by letter.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    while let ([x, ..], [y, ..]) = (left, right) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (x, y) = (digits(&mut left), digits(&mut right));
            x.len().cmp(&y.len()).then_with(|| x.cmp(y))
        } else {
            (left, right) = (&left[1..], &right[1..]);
            x.cmp(y)
        };
        if order.is_ne() {
            return order;
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// The digits at the start without leading zeros, which are taken off.
fn digits<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(count);
    *text = rest;
    let zeros = number.iter().take_while(|&&byte| byte == b'0').count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        let mut names = ["a10", "a2", "b", "a", "a02", "a1.tar", "a1", "10", "9", "a100000000000000000000000", "a3"];
        names.sort_by(|a, b| compare(a, b));
        let expected = ["9", "10", "a", "a1", "a1.tar", "a02", "a2", "a3", "a10", "a100000000000000000000000", "b"];
        assert_eq!(names, expected);
    }
}
