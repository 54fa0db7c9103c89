//! A part of a sweep: every n-th run, for schedulers that start many jobs.

use crate::error::{Result, SweepError};

/// Job k of n, k from 1: the runs k, k + n, k + 2 n, … of the plan. A plan lists the cheapest first, so that jobs are of about
/// the same length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    k: usize,
    n: usize,
}

impl Job {
    /// # Errors
    /// k is not from 1 to n.
    pub fn new(k: usize, n: usize) -> Result<Self> {
        match (1..=n).contains(&k) {
            true => Ok(Self { k, n }),
            false => Err(SweepError::value("--job", "k/n with k from 1 to n", format!("{k}/{n}"))),
        }
    }

    /// Whether the run at a place of the plan, from 0, is its own.
    pub fn has(self, at: usize) -> bool {
        at % self.n == self.k - 1
    }
}

impl std::str::FromStr for Job {
    type Err = SweepError;

    /// Of `3/8`.
    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        let (k, n) = numbers.ok_or_else(|| SweepError::value("--job", "k/n such as 3/8", format!("`{text}`")))?;
        Self::new(k, n)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn jobs_are_counted_from_one() {
        let job: Job = "2/3".parse().unwrap();
        assert_eq!((0..7).filter(|at| job.has(*at)).collect::<Vec<_>>(), [1, 4]);
        for text in ["0/3", "4/3", "1/0", "1", "a/b", "-1/2", "1/2/3", ""] {
            assert!(text.parse::<Job>().unwrap_err().to_string().starts_with("--job: expected k/n"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_run_belongs_to_one_job(n in 1usize..9, at in 0usize..100) {
            let jobs = (1..=n).filter(|k| Job::new(*k, n).unwrap().has(at));
            prop_assert_eq!(jobs.count(), 1);
        }
    }
}
