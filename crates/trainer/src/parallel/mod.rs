//! Several processes that train one model: every rank computes some of a step's micro-batches and takes the same step.
//!
//! What is trained does not depend on the number of ranks. The data, the noise and the order of the micro-batches are those of
//! one process, and gradients are added in the order of the micro-batches: a rank adds its own to the sum that the rank before
//! it hands on, and the last one gives the sum to all. Floating-point sums then have the same bits on any number of ranks.
//!
//! Moments may be shared out among the ranks (`sharding.rs`).
//!
//! [`Collective`] is what a transport must be able to do; `sockets/` is the one of launchers that say where rank 0 is to be found,
//! `mpi.rs`, with the feature `mpi`, that of MPI launchers.

mod gradients;
#[cfg(feature = "mpi")]
pub mod mpi;
mod sharding;
pub mod sockets;

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use thiserror::Error;

pub(crate) use self::gradients::{Exchange, Weight};
pub(crate) use self::sharding::Sharding;

/// Ranks could not exchange what a step needs.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParallelError {
    /// A message could not be sent or received.
    #[error("rank {rank} of {size}: {reason}")]
    Transport {
        /// Who noticed.
        rank: usize,
        /// How many there are.
        size: usize,
        /// What went wrong.
        reason: String,
    },
    /// A rank was started with something else than the first.
    #[error("expected the same {what} on every rank, found another on rank {rank} than on rank 0")]
    Differs {
        /// In what they differ.
        what: String,
        /// The first rank that differs.
        rank: usize,
    },
    /// More ranks than micro-batches.
    #[error("train.gradient_accumulation: expected at least {ranks}, a micro-batch for each rank, found {found}")]
    TooFewBatches {
        /// How many ranks there are.
        ranks: usize,
        /// Micro-batches of a step.
        found: usize,
    },
    /// The program was started by a launcher that it cannot talk to.
    #[error("{0}")]
    Launcher(String),
}

/// What ranks exchange. All ranks call [`Self::gather`] and [`Self::broadcast`] in the same order.
pub trait Collective {
    /// The number of this rank, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// Sends numbers to another rank, which must [`Self::receive`] as many.
    ///
    /// # Errors
    /// When it cannot be reached.
    fn send(&mut self, to: usize, numbers: &[f32]) -> Result<(), ParallelError>;

    /// Receives numbers of another rank.
    ///
    /// # Errors
    /// When it cannot be reached, or sends another count.
    fn receive(&mut self, from: usize, numbers: &mut [f32]) -> Result<(), ParallelError>;

    /// Gives the numbers of rank `from` to all.
    ///
    /// # Errors
    /// When a rank cannot be reached.
    fn broadcast(&mut self, from: usize, numbers: &mut [f32]) -> Result<(), ParallelError>;

    /// What each rank has, of any length, in the order of the ranks.
    ///
    /// # Errors
    /// When a rank cannot be reached.
    fn gather(&mut self, own: &[u8]) -> Result<Vec<Vec<u8>>, ParallelError>;

    /// Ends all ranks at once, because this one cannot go on.
    fn abort(&mut self);
}

/// The ranks of a run, this one among them. Clones are the same rank.
#[derive(Clone, Default)]
pub struct Ranks(Option<Rc<RefCell<dyn Collective>>>);

impl fmt::Debug for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank(), self.size())
    }
}

impl Ranks {
    /// One process alone.
    pub fn alone() -> Self {
        Self(None)
    }

    /// Ranks that a transport joins.
    pub fn joined(collective: impl Collective + 'static) -> Self {
        Self(Some(Rc::new(RefCell::new(collective))))
    }

    /// The number of this rank, from 0. Rank 0 leads: it alone writes and prints.
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |collective| collective.borrow().rank())
    }

    /// How many ranks there are.
    pub fn size(&self) -> usize {
        self.0.as_ref().map_or(1, |collective| collective.borrow().size())
    }

    /// Which of `count` micro-batches are those of this rank: neighbours, and of all ranks about as many.
    ///
    /// # Errors
    /// When there are fewer than ranks.
    pub fn share(&self, count: usize) -> Result<Range<usize>, ParallelError> {
        let (rank, size) = (self.rank(), self.size());
        match count < size {
            true => Err(ParallelError::TooFewBatches { ranks: size, found: count }),
            false => Ok(rank * count / size..(rank + 1) * count / size),
        }
    }

    /// What each rank has, in the order of the ranks.
    ///
    /// # Errors
    /// When a rank cannot be reached.
    pub fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, ParallelError> {
        match &self.0 {
            Some(collective) => collective.borrow_mut().gather(own),
            None => Ok(vec![own.to_vec()]),
        }
    }

    /// Sends numbers to another rank; nothing when this one is alone.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub(crate) fn send(&self, to: usize, numbers: &[f32]) -> Result<(), ParallelError> {
        self.0.as_ref().map_or(Ok(()), |collective| collective.borrow_mut().send(to, numbers))
    }

    /// Receives numbers of another rank.
    ///
    /// # Errors
    /// When it cannot be reached, or sends another count.
    pub(crate) fn receive(&self, from: usize, numbers: &mut [f32]) -> Result<(), ParallelError> {
        self.0.as_ref().map_or(Ok(()), |collective| collective.borrow_mut().receive(from, numbers))
    }

    /// Gives the numbers of rank `from` to all.
    ///
    /// # Errors
    /// When a rank cannot be reached.
    pub(crate) fn broadcast(&self, from: usize, numbers: &mut [f32]) -> Result<(), ParallelError> {
        self.0.as_ref().map_or(Ok(()), |collective| collective.borrow_mut().broadcast(from, numbers))
    }

    /// The numbers of all ranks, one rank after the other.
    ///
    /// # Errors
    /// When a rank cannot be reached.
    pub fn gather_numbers(&self, own: Vec<f64>) -> Result<Vec<f64>, ParallelError> {
        if self.0.is_none() {
            return Ok(own);
        }
        let own: Vec<u8> = own.into_iter().flat_map(f64::to_le_bytes).collect();
        let all = self.gather(&own)?.concat();
        let number = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().unwrap_or_default());
        Ok(all.chunks_exact(size_of::<f64>()).map(number).collect())
    }

    /// Whether any rank says so.
    ///
    /// # Errors
    /// When a rank cannot be reached.
    pub fn any(&self, own: bool) -> Result<bool, ParallelError> {
        Ok(self.gather(&[u8::from(own)])?.iter().any(|found| found.contains(&1)))
    }

    /// Makes sure that all ranks have the same of something.
    ///
    /// # Errors
    /// Names the first rank that has another than rank 0, on every rank.
    pub fn agree(&self, what: &str, own: &[u8]) -> Result<(), ParallelError> {
        let all = self.gather(own)?;
        match all.iter().position(|found| *found != all[0]) {
            Some(rank) => Err(ParallelError::Differs { what: what.into(), rank }),
            None => Ok(()),
        }
    }

    /// Ends all other ranks, because this one cannot go on; nothing when it is alone.
    pub fn abort(&self) {
        if let Some(collective) = &self.0 {
            collective.borrow_mut().abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rank that nobody answers.
    struct Rank(usize, usize);

    impl Collective for Rank {
        fn rank(&self) -> usize {
            self.0
        }

        fn size(&self) -> usize {
            self.1
        }

        fn send(&mut self, _: usize, _: &[f32]) -> Result<(), ParallelError> {
            Ok(())
        }

        fn receive(&mut self, _: usize, _: &mut [f32]) -> Result<(), ParallelError> {
            Ok(())
        }

        fn broadcast(&mut self, _: usize, _: &mut [f32]) -> Result<(), ParallelError> {
            Ok(())
        }

        /// Rank 2 has something of its own.
        fn gather(&mut self, own: &[u8]) -> Result<Vec<Vec<u8>>, ParallelError> {
            Ok((0..self.1).map(|rank| if rank == 2 { vec![9] } else { own.to_vec() }).collect())
        }

        fn abort(&mut self) {}
    }

    #[test]
    fn every_micro_batch_has_one_rank() {
        for (count, size) in [(1, 1), (4, 2), (5, 2), (7, 3), (3, 3)] {
            let shares = (0..size).map(|rank| Ranks::joined(Rank(rank, size)).share(count).expect("enough"));
            assert_eq!(shares.flatten().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
        }
        let error = Ranks::joined(Rank(0, 3)).share(2).expect_err("too few");
        assert!(error.to_string().contains("expected at least 3") && error.to_string().contains("found 2"));
    }

    #[test]
    fn the_rank_that_differs_is_named() {
        let ranks = Ranks::joined(Rank(0, 4));
        assert!(ranks.agree("configuration", &[9]).is_ok());
        let error = ranks.agree("configuration", &[1]).expect_err("another").to_string();
        assert!(error.contains("configuration") && error.contains("rank 2"), "{error}");
        assert!(Ranks::alone().agree("configuration", &[1]).is_ok());
    }
}
