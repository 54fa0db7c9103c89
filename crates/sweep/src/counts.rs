//! Counts as people write them: `8K`, `125M`, `1.5T`, `8e6`.

use serde::{Deserialize, Deserializer};

use crate::error::{Result, SweepError};

const FORMS: &str = "a number from 1 such as 8e6, or one with K, M, B or T such as \"70M\"";
const SUFFIXES: [(&str, f64); 4] = [("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)];

/// A count of parameters or tokens, in ones: finite and from 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Count(f64);

impl Count {
    /// # Errors
    /// The number is not finite or below 1.
    pub fn new(number: f64) -> Result<Self> {
        match number.is_finite() && number >= 1.0 {
            true => Ok(Self(number)),
            false => Err(SweepError::value("a count", FORMS, number)),
        }
    }

    /// In ones.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl std::str::FromStr for Count {
    type Err = SweepError;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || SweepError::value("a count", FORMS, format!("`{text}`"));
        let upper = text.trim().to_uppercase();
        let (digits, factor) = SUFFIXES
            .iter()
            .find_map(|(suffix, factor)| Some((upper.strip_suffix(suffix)?, *factor)))
            .unwrap_or((&upper, 1.0));
        // `f64` also reads `INF` and `NAN`, which are no counts.
        let of_number = |letter: char| letter.is_ascii_digit() || ".E+-_".contains(letter);
        if digits.is_empty() || !digits.chars().all(of_number) {
            return Err(wrong());
        }
        let number: f64 = digits.replace('_', "").parse().map_err(|_| wrong())?;
        Self::new(number * factor).map_err(|_| wrong())
    }
}

impl std::fmt::Display for Count {
    /// As [`exact`].
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&exact(self.0))
    }
}

/// `8K` of 8000, `1500K` of 1500000 and `8001` of 8001: with the largest suffix that leaves a whole number, so that two counts
/// of one text are the same.
pub fn exact(number: f64) -> String {
    for (suffix, factor) in SUFFIXES {
        if number >= factor && number % factor == 0.0 {
            return format!("{}{suffix}", number / factor);
        }
    }
    format!("{number}")
}

/// `8.06K`, `29.9B`: three digits, for tables.
pub fn short(number: f64) -> String {
    let (scaled, suffix) = match SUFFIXES.iter().rev().rfind(|(_, factor)| number >= *factor) {
        Some((suffix, factor)) => (number / factor, *suffix),
        None => (number, ""),
    };
    let digits = if scaled >= 100.0 {
        0
    } else if scaled >= 10.0 {
        1
    } else {
        2
    };
    format!("{scaled:.digits$}{suffix}")
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a number from 1 such as 8e6, or a text such as \"70M\"")]
        enum Written {
            Whole(u64),
            Number(f64),
            Text(String),
        }
        let count = match Written::deserialize(deserializer)? {
            Written::Whole(number) => Self::new(number as f64),
            Written::Number(number) => Self::new(number),
            Written::Text(text) => text.parse(),
        };
        count.map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_are_read_as_people_write_them() {
        for (text, expected) in
            [("8K", 8e3), ("125M", 125e6), ("30b", 30e9), ("1.5T", 1.5e12), ("8e6", 8e6), ("2_000", 2e3)]
        {
            assert_eq!(text.parse::<Count>().unwrap().get(), expected, "{text}");
        }
        for text in ["", "K", "-3M", "0", "5G", "5MB", "nan", "inf", "1e400", "1,5B", "0.5"] {
            let message = text.parse::<Count>().unwrap_err().to_string();
            assert!(message.contains(&format!("found `{text}`")), "{message}");
        }
    }

    #[test]
    fn names_are_exact_and_tables_short() {
        assert_eq!([8e3, 1.5e6, 8001.0, 3e10, 12.0].map(exact), ["8K", "1500K", "8001", "30B", "12"]);
        assert_eq!([8064.0, 29.91e9, 999.0, 1.23e5].map(short), ["8.06K", "29.9B", "999", "123K"]);
    }

    proptest! {
        #[test]
        fn an_exact_name_is_read_back(number in 1u64..1 << 50) {
            prop_assert_eq!(exact(number as f64).parse::<Count>().unwrap().get(), number as f64);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,12}") {
            let _ = text.parse::<Count>();
        }
    }
}
