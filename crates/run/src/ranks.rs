//! Whether this process is one of several that train together, as the launcher that started it says by its environment.

use std::time::Duration;

use interfuse_trainer::parallel::sockets::Rendezvous;
use interfuse_trainer::{ParallelError, Ranks, TrainError};

use crate::error::Result;

/// Variables that MPI launchers set (Open MPI, MPICH and those that are made of it, PMIx), and say how many processes there are.
const MPI_SIZES: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
/// What launchers of PyTorch's kind set.
const SIZE: &str = "WORLD_SIZE";
/// Which of the processes this is.
const RANK: &str = "RANK";
/// The machine of rank 0, and where it listens.
const MEETING: [&str; 2] = ["MASTER_ADDR", "MASTER_PORT"];
/// Set by `torchrun`, which then listens at the port itself.
const PORT_IS_TAKEN: (&str, &str) = ("TORCHELASTIC_USE_AGENT_STORE", "True");
/// How long the others are waited for: a cluster may start its machines minutes apart.
const PATIENCE: Duration = Duration::from_secs(600);

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
        None if size(SIZE) > 1 => Ok(Ranks::joined(rendezvous(size(SIZE), variable)?.join()?)),
        None => Ok(Ranks::alone()),
    }
}

/// Where ranks meet, as a launcher of PyTorch's kind says.
fn rendezvous(
    size: usize,
    variable: impl Fn(&str) -> Option<String>,
) -> std::result::Result<Rendezvous, ParallelError> {
    let missing = |name: &str, expected: &str| {
        let found = variable(name).map_or("nothing".into(), |found| format!("`{found}`"));
        ParallelError::Launcher(format!("{name}: expected {expected}, because {SIZE} = {size}, found {found}"))
    };
    let [host, port] = MEETING;
    let rank = variable(RANK).and_then(|rank| rank.parse().ok()).filter(|&rank| rank < size);
    let rank = rank.ok_or_else(|| missing(RANK, &format!("a number from 0 to {}", size - 1)))?;
    let address = variable(host).filter(|host| !host.is_empty());
    let address = address.ok_or_else(|| missing(host, "the name or address of the machine of rank 0"))?;
    let named: Option<u16> = variable(port).and_then(|port| port.parse().ok());
    let (taken, yes) = PORT_IS_TAKEN;
    let beside = if variable(taken).as_deref() == Some(yes) { 1 } else { 0 };
    let port = named.and_then(|named| named.checked_add(beside)).filter(|&port| port > 0);
    let port = port.ok_or_else(|| missing(MEETING[1], "a port of the machine of rank 0"))?;
    Ok(Rendezvous { rank, size, host: address, port, patience: PATIENCE })
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

    /// What a launcher may set.
    fn launched(changes: &[(&str, &str)]) -> std::result::Result<Rendezvous, ParallelError> {
        let usual = [("RANK", "2"), ("MASTER_ADDR", "node-0"), ("MASTER_PORT", "29500")];
        let all: Vec<(String, String)> =
            changes.iter().chain(&usual).map(|(name, value)| ((*name).into(), (*value).into())).collect();
        rendezvous(4, move |asked| all.iter().find(|(name, _)| name == asked).map(|(_, value)| value.clone()))
    }

    #[test]
    fn a_launcher_says_where_ranks_meet() {
        let found = launched(&[]).expect("all is said");
        assert_eq!((found.rank, found.size, found.host.as_str(), found.port), (2, 4, "node-0", 29500));
        let by_torchrun = launched(&[("TORCHELASTIC_USE_AGENT_STORE", "True")]).expect("all is said");
        assert_eq!(by_torchrun.port, 29501, "torchrun listens at its own port");
    }

    #[test]
    fn what_a_launcher_does_not_say_is_named() {
        for (name, value, expected) in [
            ("RANK", "4", "a number from 0 to 3"),
            ("RANK", "", "a number from 0 to 3"),
            ("MASTER_ADDR", "", "the machine of rank 0"),
            ("MASTER_PORT", "0", "a port of the machine of rank 0"),
            ("MASTER_PORT", "http", "found `http`"),
        ] {
            let error = launched(&[(name, value)]).expect_err("refused").to_string();
            assert!(error.starts_with(name) && error.contains(expected) && error.contains("WORLD_SIZE = 4"), "{error}");
        }
        let error = with("WORLD_SIZE", "4").expect_err("refused").to_string();
        assert!(error.contains("RANK") && error.contains("found nothing"), "{error}");
    }

    #[cfg(not(feature = "mpi"))]
    #[test]
    fn a_program_without_mpi_says_how_to_build_it() {
        let error = with("PMI_SIZE", "2").expect_err("refused").to_string();
        assert!(error.contains("PMI_SIZE = 2") && error.contains("--features mpi"), "{error}");
    }
}
