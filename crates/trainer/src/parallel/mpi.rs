//! Ranks that an MPI launcher started, such as `mpirun` or `srun`.

use mpi::collective::CommunicatorCollectives as _;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::point_to_point::{Destination as _, Source as _};
use mpi::topology::{Communicator as _, SimpleCommunicator};
use mpi::traits::Root as _;

use super::{Collective, ParallelError};

/// This process among those of its launcher.
pub struct Mpi {
    world: SimpleCommunicator,
    /// MPI ends with it.
    _universe: Universe,
}

impl Mpi {
    /// Joins the ranks of the launcher.
    ///
    /// # Errors
    /// When this process has joined before.
    pub fn join() -> Result<Self, ParallelError> {
        let universe = mpi::initialize()
            .ok_or_else(|| ParallelError::Launcher("expected to join MPI once, found it joined already".into()))?;
        Ok(Self { world: universe.world(), _universe: universe })
    }

    /// MPI ends the program where it fails, so what is left to check are counts.
    fn check(&self, expected: usize, found: usize) -> Result<(), ParallelError> {
        let reason = format!("expected {expected} numbers, found {found}");
        let (rank, size) = (self.rank(), self.size());
        if expected == found { Ok(()) } else { Err(ParallelError::Transport { rank, size, reason }) }
    }
}

impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn send(&mut self, to: usize, numbers: &[f32]) -> Result<(), ParallelError> {
        self.world.process_at_rank(to as i32).send(numbers);
        Ok(())
    }

    fn receive(&mut self, from: usize, numbers: &mut [f32]) -> Result<(), ParallelError> {
        let status = self.world.process_at_rank(from as i32).receive_into(numbers);
        let found = status.count(<f32 as mpi::datatype::Equivalence>::equivalent_datatype());
        self.check(numbers.len(), found as usize)
    }

    fn broadcast(&mut self, from: usize, numbers: &mut [f32]) -> Result<(), ParallelError> {
        self.world.process_at_rank(from as i32).broadcast_into(numbers);
        Ok(())
    }

    fn gather(&mut self, own: &[u8]) -> Result<Vec<Vec<u8>>, ParallelError> {
        let mut counts = vec![0i32; self.size()];
        self.world.all_gather_into(&(own.len() as i32), &mut counts[..]);
        let begins: Vec<i32> =
            counts.iter().scan(0, |next, count| Some(std::mem::replace(next, *next + count))).collect();
        let mut all = vec![0u8; counts.iter().sum::<i32>() as usize];
        self.world.all_gather_varcount_into(own, &mut PartitionMut::new(&mut all[..], &counts[..], &begins[..]));
        let part = |(begin, count): (&i32, &i32)| all[*begin as usize..][..*count as usize].to_vec();
        Ok(begins.iter().zip(&counts).map(part).collect())
    }

    fn abort(&mut self) {
        self.world.abort(1);
    }
}
