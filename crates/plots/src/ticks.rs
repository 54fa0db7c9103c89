//! Where an axis is marked, and what stands there.
//!
//! A linear axis is marked at multiples of 1, 2 or 5 times a power of ten, a logarithmic one at powers of ten, and between
//! them where there are too few. Labels are exact: a mark stands where its label says, to the last digit of a double.

/// The marks of an axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ticks {
    /// With a label, from the lowest to the highest.
    pub(crate) major: Vec<Tick>,
    /// Without.
    pub(crate) minor: Vec<f64>,
    /// What all labels are to be multiplied by, such as `×10⁶`.
    pub(crate) factor: Option<String>,
}

/// A mark with its label.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) label: String,
}

/// Labels are plain numbers from this magnitude on, and powers below.
const PLAIN_FROM: f64 = 1e-3;
/// Linear labels are plain numbers below this magnitude.
const PLAIN_TO: f64 = 1e6;
/// Logarithmic labels are plain numbers up to this one.
const LOG_PLAIN_TO: f64 = 1e4;

/// The marks of a linear axis from `low` to `high`, at most about `count` of them.
pub(crate) fn linear(low: f64, high: f64, count: usize) -> Ticks {
    let Multiples { mantissa, exponent, from, to } = Multiples::within(low, high, count);
    let largest = low.abs().max(high.abs());
    // A common power of a thousand keeps the labels short.
    let common = if (PLAIN_FROM..PLAIN_TO).contains(&largest) || largest == 0.0 {
        0
    } else {
        3 * (largest.log10() / 3.0).floor() as i32
    };
    let decimals = (common - exponent).max(0) as usize;
    let major = (from..=to)
        .map(|multiple| {
            let digits = multiple * mantissa;
            let value = times_power(digits as f64, exponent);
            let label = plain(times_power(digits as f64, exponent - common), decimals);
            Tick { value, label }
        })
        .collect();
    Ticks { major, minor: vec![], factor: (common != 0).then(|| format!("×{}", power(common))) }
}

/// The marks of a logarithmic axis from `low` to `high`, both above 0, at most about `count` of them.
pub(crate) fn logarithmic(low: f64, high: f64, count: usize) -> Ticks {
    let [first, last] = [(low.log10() - 1e-9).ceil() as i32, (high.log10() + 1e-9).floor() as i32];
    let decades = (last - first + 1).max(0) as usize;
    let within = |value: &f64| *value >= low * (1.0 - 1e-9) && *value <= high * (1.0 + 1e-9);
    let multiples = |digits: &[i32]| -> Vec<(i32, i32)> {
        let all = (first - 1..=last).flat_map(|exponent| digits.iter().map(move |digit| (*digit, exponent)));
        all.filter(|&(digit, exponent)| within(&times_power(f64::from(digit), exponent))).collect()
    };
    if decades >= 3 {
        let stride = decades.div_ceil(count.max(2)) as i32;
        let exponents = (first..=last).filter(|exponent| exponent.rem_euclid(stride) == 0);
        let minor = if stride > 1 {
            (first..=last).map(|exponent| times_power(1.0, exponent)).collect()
        } else {
            values(&multiples(&[2, 3, 4, 5, 6, 7, 8, 9]))
        };
        return Ticks { major: labelled(exponents.map(|exponent| (1, exponent)).collect()), minor, factor: None };
    }
    let all = multiples(&[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let choices = [[1, 2, 5].as_slice(), &[1, 2, 3, 4, 5, 6, 7, 8, 9], &[1, 3], &[1]];
    for least in [3, 2] {
        for digits in choices {
            let major = multiples(digits);
            if (least..=count.max(3) + 1).contains(&major.len()) {
                return Ticks { major: labelled(major), minor: values(&all), factor: None };
            }
        }
    }
    // A stretch so short that a logarithm is nearly straight; of four marks two are sure to lie in it.
    linear(low, high, count.max(4))
}

/// `mantissa · 10^exponent`, and which of its multiples lie within a range.
struct Multiples {
    mantissa: i64,
    exponent: i32,
    from: i64,
    to: i64,
}

impl Multiples {
    /// The smallest step of which at most `count` + 1 multiples lie in the range; with one less, the next step may have none.
    fn within(low: f64, high: f64, count: usize) -> Self {
        let exponent = ((high - low) / count.max(2) as f64).log10().floor() as i32;
        let steps = [(1, exponent), (2, exponent), (5, exponent), (1, exponent + 1), (2, exponent + 1)];
        let mut found = Self { mantissa: 1, exponent, from: 0, to: -1 };
        for (mantissa, exponent) in steps {
            let step = times_power(mantissa as f64, exponent);
            // A mark on the very end is not lost to rounding.
            let [from, to] = [(low / step - 1e-6).ceil() as i64, (high / step + 1e-6).floor() as i64];
            found = Self { mantissa, exponent, from, to };
            if to - from <= count.max(2) as i64 {
                break;
            }
        }
        found
    }
}

fn values(ticks: &[(i32, i32)]) -> Vec<f64> {
    ticks.iter().map(|&(digit, exponent)| times_power(f64::from(digit), exponent)).collect()
}

/// Labels `digit · 10^exponent`, all in one manner.
fn labelled(ticks: Vec<(i32, i32)>) -> Vec<Tick> {
    let as_powers = ticks.iter().any(|&(digit, exponent)| {
        let value = times_power(f64::from(digit), exponent);
        !(PLAIN_FROM * 0.999..=LOG_PLAIN_TO * 1.001).contains(&value)
    });
    let label = |digit: i32, exponent: i32| match (as_powers, digit) {
        (true, 1) => power(exponent),
        (true, _) => format!("{digit}×{}", power(exponent)),
        (false, _) => plain(times_power(f64::from(digit), exponent), (-exponent).max(0) as usize),
    };
    ticks
        .into_iter()
        .map(|(digit, exponent)| Tick { value: times_power(f64::from(digit), exponent), label: label(digit, exponent) })
        .collect()
}

/// `digits · 10^exponent`, rounded once where the power is a double: 3 · 10⁻¹ is 0.3 and not 0.30000000000000004.
fn times_power(digits: f64, exponent: i32) -> f64 {
    match exponent {
        0.. => digits * 10f64.powi(exponent),
        _ => digits / 10f64.powi(-exponent),
    }
}

/// `10⁶`
fn power(exponent: i32) -> String {
    let digits = exponent.to_string();
    let raised = digits.chars().map(|digit| match digit {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        other => char::from_u32(0x2070 + other.to_digit(10).unwrap_or(0)).unwrap_or(other),
    });
    format!("10{}", raised.collect::<String>())
}

/// A number with a minus sign that is as wide as a plus, and a narrow space between thousands of five digits and more.
fn plain(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if whole.len() > 4 && index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    let sign = if value < 0.0 && text.chars().any(|digit| ('1'..='9').contains(&digit)) { "−" } else { "" };
    let fraction = fraction.map(|fraction| format!(".{fraction}")).unwrap_or_default();
    format!("{sign}{grouped}{fraction}")
}

/// A number of three significant digits, for a label beside a mark.
pub(crate) fn significant(value: f64) -> String {
    if value == 0.0 {
        return "0".to_string();
    }
    // Of the rounded number, so that 0.9996 is 1.00 and not 1.000.
    let rounded = format!("{value:.2e}");
    let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-3..6).contains(&exponent) {
        return plain(value, (2 - exponent).max(0) as usize);
    }
    format!("{}×{}", mantissa.replace('-', "−"), power(exponent))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(ticks: &Ticks) -> Vec<&str> {
        ticks.major.iter().map(|tick| tick.label.as_str()).collect()
    }

    /// What a label says, as a number.
    fn read(label: &str, factor: Option<&str>) -> f64 {
        let raised = |text: &str| -> i32 {
            let digits = text.chars().map(|sign| match sign {
                '⁻' => '-',
                '¹' => '1',
                '²' => '2',
                '³' => '3',
                other => char::from_digit(other as u32 - 0x2070, 10).unwrap(),
            });
            digits.collect::<String>().parse().unwrap()
        };
        let label = label.replace('\u{202f}', "").replace('−', "-");
        let of_power = |text: &str| 10f64.powi(raised(text.strip_prefix("10").unwrap()));
        let is_power = |text: &str| text.chars().any(|sign| "⁻⁰¹²³⁴⁵⁶⁷⁸⁹".contains(sign));
        let number = match label.split_once('×') {
            Some((digits, power)) => digits.parse::<f64>().unwrap() * of_power(power),
            None if is_power(&label) => of_power(&label),
            None => label.parse().unwrap(),
        };
        number * factor.map_or(1.0, |factor| of_power(factor.trim_start_matches('×')))
    }

    #[test]
    fn linear_labels_read_as_a_person_writes_them() {
        assert_eq!(labels(&linear(0.0, 1.0, 6)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&linear(-1.0, 1.0, 5)), ["−1.0", "−0.5", "0.0", "0.5", "1.0"]);
        let steps = linear(0.0, 250_000.0, 6);
        let expected = ["0", "50\u{202f}000", "100\u{202f}000", "150\u{202f}000", "200\u{202f}000", "250\u{202f}000"];
        assert_eq!(labels(&steps), expected);
        let flops = linear(0.0, 3.1e15, 4);
        assert_eq!(labels(&flops), ["0", "1", "2", "3"]);
        assert_eq!(flops.factor.as_deref(), Some("×10¹⁵"));
        let small = linear(0.0, 4e-4, 5);
        assert_eq!((labels(&small), small.factor.as_deref()), (vec!["0", "100", "200", "300", "400"], Some("×10⁻⁶")));
    }

    #[test]
    fn logarithmic_labels_read_as_a_person_writes_them() {
        assert_eq!(labels(&logarithmic(0.9, 1200.0, 6)), ["1", "10", "100", "1000"]);
        assert_eq!(labels(&logarithmic(1e15, 3e19, 6)), ["10¹⁵", "10¹⁶", "10¹⁷", "10¹⁸", "10¹⁹"]);
        assert_eq!(labels(&logarithmic(1e-9, 1e9, 6)).len(), 5);
        assert_eq!(labels(&logarithmic(1.1, 30.0, 6)), ["2", "5", "10", "20"]);
        assert_eq!(labels(&logarithmic(1.9, 5.2, 6)), ["2", "3", "4", "5"]);
        assert_eq!(labels(&logarithmic(2.05, 2.46, 5)), ["2.1", "2.2", "2.3", "2.4"]);
        assert_eq!(labels(&logarithmic(1.5e6, 6e7, 6)), ["2×10⁶", "5×10⁶", "10⁷", "2×10⁷", "5×10⁷"]);
        assert!(!logarithmic(1e15, 3e19, 6).minor.is_empty());
    }

    #[test]
    fn three_digits_are_three_digits() {
        let read = [0.558, 0.9996, 12.345, -0.25, 123_456.0, 2.5e15, 0.0].map(significant);
        assert_eq!(read, ["0.558", "1.00", "12.3", "−0.250", "123\u{202f}456", "2.50×10¹⁵", "0"]);
    }

    proptest! {
        #[test]
        fn linear_marks_are_even_lie_within_and_are_where_they_say(
            low in -1e12f64..1e12, length in 1e-3f64..1e12, count in 2usize..14,
        ) {
            prop_assume!(length > low.abs() * 1e-6);
            let high = low + length;
            let ticks = linear(low, high, count);
            let slack = length * 1e-5;
            prop_assert!(ticks.major.len() <= count + 1);
            prop_assert!(count < 4 || ticks.major.len() >= 2, "{ticks:?}");
            for tick in &ticks.major {
                prop_assert!((low - slack..=high + slack).contains(&tick.value));
                let said = read(&tick.label, ticks.factor.as_deref());
                prop_assert!((said - tick.value).abs() <= 1e-12 * tick.value.abs().max(1e-12), "{tick:?} {ticks:?}");
            }
            let steps: Vec<f64> = ticks.major.windows(2).map(|pair| pair[1].value - pair[0].value).collect();
            prop_assert!(steps.iter().all(|step| (step / steps[0] - 1.0).abs() < 1e-3 && *step > 0.0));
            let distinct: std::collections::BTreeSet<&str> = labels(&ticks).into_iter().collect();
            prop_assert_eq!(distinct.len(), ticks.major.len());
        }

        #[test]
        fn logarithmic_marks_rise_lie_within_and_are_where_they_say(
            start in -30f64..30.0, decades in 0.02f64..20.0, count in 3usize..10,
        ) {
            let [low, high] = [10f64.powf(start), 10f64.powf(start + decades)];
            let ticks = logarithmic(low, high, count);
            prop_assert!(ticks.major.len() >= 2, "{ticks:?}");
            prop_assert!(ticks.major.len() <= 2 * count + 2, "{ticks:?}");
            for tick in &ticks.major {
                prop_assert!((low * 0.9999..=high * 1.0001).contains(&tick.value), "{tick:?}");
                let said = read(&tick.label, ticks.factor.as_deref());
                prop_assert!((said / tick.value - 1.0).abs() < 1e-9, "{tick:?} {ticks:?}");
            }
            prop_assert!(ticks.major.windows(2).all(|pair| pair[0].value < pair[1].value));
            prop_assert!(ticks.minor.iter().all(|value| (low * 0.9999..=high * 1.0001).contains(value)));
        }
    }
}
