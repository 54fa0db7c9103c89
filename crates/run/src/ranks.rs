//! Whether this process is one of several that train together, as the launcher that started it says by its environment.

use interfuse_trainer::{ParallelError, Ranks, TrainError};

use crate::error::Result;

/// Variables that MPI launchers set (Open MPI, MPICH and those that are made of it, PMIx), and say how many processes there are.
const MPI_SIZES: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
/// What launchers of PyTorch set.
const TORCH_SIZE: &str = "WORLD_SIZE";

/// Joins the processes that were started together with this one; a process that nobody launched is alone.
///
/// # Errors
/// When this process is one of several, and this program cannot talk to the others.
pub fn join() -> Result<Ranks> {
    Ok(join_by(|name| std::env::var(name).ok()).map_err(TrainError::from)?)
}

fn join_by(variable: impl Fn(&str) -> Option<String>) -> std::result::Result<Ranks, ParallelError> {
    let size = |name: &str| variable(name).and_then(|size| size.parse::<usize>().ok()).unwrap_or(1);
    let by_mpi = MPI_SIZES.into_iter().find(|name| size(name) > 1);
    match by_mpi {
        Some(name) => join_mpi(name, size(name)),
        None if size(TORCH_SIZE) > 1 => Err(ParallelError::Launcher(format!(
            "{TORCH_SIZE} = {}: expected a launcher of MPI, such as mpirun or srun --mpi=pmix, found one of PyTorch",
            size(TORCH_SIZE)
        ))),
        None => Ok(Ranks::alone()),
    }
}

#[cfg(feature = "mpi")]
fn join_mpi(_: &str, _: usize) -> std::result::Result<Ranks, ParallelError> {
    Ok(Ranks::joined(interfuse_trainer::parallel::mpi::Mpi::join()?))
}

#[cfg(not(feature = "mpi"))]
fn join_mpi(name: &str, size: usize) -> std::result::Result<Ranks, ParallelError> {
    Err(ParallelError::Launcher(format!(
        "{name} = {size}: expected a program that can talk to the other processes (cargo build --release --features mpi), \
         found one without MPI"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &'static str) -> std::result::Result<Ranks, ParallelError> {
        join_by(move |asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn a_process_that_nobody_launched_is_alone() {
        assert_eq!(with("HOME", "/").expect("alone").size(), 1);
        assert_eq!(with("OMPI_COMM_WORLD_SIZE", "1").expect("alone").size(), 1);
        assert_eq!(with("WORLD_SIZE", "many").expect("alone").size(), 1);
    }

    #[test]
    fn a_launcher_that_cannot_be_talked_to_is_named() {
        let error = with("WORLD_SIZE", "4").expect_err("refused").to_string();
        assert!(error.contains("WORLD_SIZE = 4") && error.contains("mpirun"), "{error}");
    }

    #[cfg(not(feature = "mpi"))]
    #[test]
    fn a_program_without_mpi_says_how_to_build_it() {
        let error = with("PMI_SIZE", "2").expect_err("refused").to_string();
        assert!(error.contains("PMI_SIZE = 2") && error.contains("--features mpi"), "{error}");
    }
}
