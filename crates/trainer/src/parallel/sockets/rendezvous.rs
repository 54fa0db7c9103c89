//! How ranks find one another.
//!
//! ```text
//! rank r > 0                              rank 0, at MASTER_ADDR:MASTER_PORT
//!   hello: r, how many, where I listen  ─►  waits for all
//!                                       ◄─  where each of them listens
//!   connects to the ranks below, and is connected to by those above
//! ```
//!
//! Whoever says something else than hello is hung up on: a port scan must not end a training.

use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use super::super::ParallelError;
use super::{Sockets, prepared};

/// With what every connection begins.
const GREETING: &[u8; 16] = b"interfuse ranks1";
/// How long a stranger may take to greet.
const GREETING_TIME: Duration = Duration::from_secs(5);
/// Between two attempts to reach a rank.
const PAUSE: Duration = Duration::from_millis(100);

/// Where ranks meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendezvous {
    /// The number of this rank, from 0.
    pub rank: usize,
    /// How many there are, at least 2.
    pub size: usize,
    /// The machine of rank 0, a name or an address.
    pub host: String,
    /// Where rank 0 listens.
    pub port: u16,
    /// How long the others are waited for.
    pub patience: Duration,
}

/// What a rank says of itself.
#[derive(Clone, Copy)]
struct Hello {
    rank: usize,
    size: usize,
    /// Where it listens.
    port: u16,
}

impl Rendezvous {
    /// Joins all ranks.
    ///
    /// # Errors
    /// When rank 0 cannot listen, a rank does not come in time, or two ranks do not fit together.
    pub fn join(&self) -> Result<Sockets, ParallelError> {
        let until = Instant::now() + self.patience;
        let peers = if self.rank == 0 { self.lead(until) } else { self.follow(until) }?;
        let peers: std::io::Result<_> = peers.into_iter().map(|peer| peer.map(prepared).transpose()).collect();
        Ok(Sockets { rank: self.rank, peers: peers.map_err(|error| self.error(error.to_string()))? })
    }

    fn error(&self, reason: String) -> ParallelError {
        ParallelError::Transport { rank: self.rank, size: self.size, reason }
    }

    /// Waits for all others, and tells each where the others are.
    fn lead(&self, until: Instant) -> Result<Vec<Option<TcpStream>>, ParallelError> {
        let listener = TcpListener::bind((self.bound_to(), self.port)).map_err(|error| {
            self.error(format!(
                "expected to listen at {}:{}, found: {error}; MASTER_PORT names another port",
                self.host, self.port
            ))
        })?;
        let mut addresses = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)); self.size];
        let mut peers = self.accepted(&listener, 0, until, |hello, address| {
            addresses[hello.rank] = SocketAddr::new(address.ip(), hello.port);
        })?;
        self.check_reach(&addresses[1..])?;
        let table: String = addresses.iter().map(|address| format!("{address}\n")).collect();
        for (rank, stream) in peers.iter_mut().enumerate() {
            let Some(stream) = stream else { continue };
            let sent = stream.write_all(&(table.len() as u32).to_le_bytes());
            let sent = sent.and_then(|()| stream.write_all(table.as_bytes()));
            sent.map_err(|error| self.error(format!("rank {rank} went away ({error})")))?;
        }
        Ok(peers)
    }

    /// Finds rank 0, and from it all others.
    fn follow(&self, until: Instant) -> Result<Vec<Option<TcpStream>>, ParallelError> {
        let mut leader = self.connected(0, &format!("{}:{}", self.host, self.port), until)?;
        let here = leader.local_addr().map_err(|error| self.error(error.to_string()))?.ip();
        let listening = TcpListener::bind((here, 0)).and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
        let (port, listener) = listening.map_err(|error| self.error(format!("cannot listen at {here} ({error})")))?;
        let table = self.greet(&mut leader, port).and_then(|()| read_table(&mut leader, self.remaining(until)));
        let table = table.map_err(|error| {
            self.error(format!(
                "rank 0 has not answered: it may have found what does not fit, or wait for others ({error})"
            ))
        })?;
        let addresses: Vec<&str> = table.lines().collect();
        if addresses.len() != self.size {
            return Err(self.error(format!("expected {} ranks, found {} at rank 0", self.size, addresses.len())));
        }
        let mut below = vec![Some(leader)];
        for (rank, address) in addresses.iter().enumerate().take(self.rank).skip(1) {
            let mut stream = self.connected(rank, address, until)?;
            self.greet(&mut stream, 0).map_err(|error| self.error(format!("rank {rank} went away ({error})")))?;
            below.push(Some(stream));
        }
        let mut peers = self.accepted(&listener, self.rank, until, |_, _| ())?;
        peers.splice(..self.rank, below);
        Ok(peers)
    }

    /// The connections of all ranks above `rank`, by rank.
    fn accepted(
        &self,
        listener: &TcpListener,
        rank: usize,
        until: Instant,
        mut seen: impl FnMut(Hello, SocketAddr),
    ) -> Result<Vec<Option<TcpStream>>, ParallelError> {
        let cannot = |error: Error| self.error(format!("cannot wait for other ranks ({error})"));
        listener.set_nonblocking(true).map_err(cannot)?;
        let mut peers: Vec<Option<TcpStream>> = (0..self.size).map(|_| None).collect();
        loop {
            let missing: Vec<usize> = (rank + 1..self.size).filter(|&peer| peers[peer].is_none()).collect();
            if missing.is_empty() {
                return Ok(peers);
            }
            match listener.accept() {
                Ok((stream, address)) => {
                    let Some((stream, hello)) = greeted(stream) else { continue };
                    self.check(hello, &missing)?;
                    seen(hello, address);
                    peers[hello.rank] = Some(stream);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < until => {
                    std::thread::sleep(PAUSE / 10);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let (waited, names) = (self.patience.as_secs(), names(&missing));
                    return Err(self.error(format!("waited {waited} s for {names}, in vain")));
                }
                // A connection that broke before it was taken.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(cannot(error)),
            }
        }
    }

    /// Whether a rank belongs to these and is one of those that are missing.
    fn check(&self, Hello { rank, size, .. }: Hello, missing: &[usize]) -> Result<(), ParallelError> {
        let refused = |expected: String, found: String| {
            Err(ParallelError::Launcher(format!("expected {expected}, found a process that is {found}")))
        };
        match (size == self.size, missing.contains(&rank)) {
            (false, _) => refused(format!("WORLD_SIZE = {} in every process", self.size), format!("one of {size}")),
            (true, false) => {
                refused(format!("every rank of 0 to {} once", self.size - 1), format!("rank {rank} again"))
            }
            (true, true) => Ok(()),
        }
    }

    /// Whether ranks on other machines can reach those on the machine of rank 0.
    fn check_reach(&self, addresses: &[SocketAddr]) -> Result<(), ParallelError> {
        let is_here = |address: &SocketAddr| address.ip().is_loopback();
        match addresses.iter().position(is_here) {
            Some(place) if !addresses.iter().all(is_here) => Err(ParallelError::Launcher(format!(
                "MASTER_ADDR = {}: expected an address that every machine reaches, found one that leads rank {} back to its \
                 own machine",
                self.host,
                place + 1
            ))),
            _ => Ok(()),
        }
    }

    /// A connection to a rank, which may not listen yet.
    fn connected(&self, rank: usize, address: &str, until: Instant) -> Result<TcpStream, ParallelError> {
        loop {
            match self.connected_to_any(address, until) {
                Ok(stream) => return Ok(stream),
                Err(_) if Instant::now() + PAUSE < until => std::thread::sleep(PAUSE),
                Err(error) => {
                    let waited = self.patience.as_secs();
                    return Err(
                        self.error(format!("waited {waited} s for rank {rank} at {address}, in vain ({error})"))
                    );
                }
            }
        }
    }

    /// A name may have several addresses, of which not all need to be listened at.
    fn connected_to_any(&self, address: &str, until: Instant) -> std::io::Result<TcpStream> {
        let mut last = ErrorKind::NotFound.into();
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, self.remaining(until)) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn greet(&self, stream: &mut TcpStream, port: u16) -> std::io::Result<()> {
        let mut hello = GREETING.to_vec();
        hello.extend((self.rank as u32).to_le_bytes());
        hello.extend((self.size as u32).to_le_bytes());
        hello.extend(port.to_le_bytes());
        stream.write_all(&hello)
    }

    /// What is left of the time; never nothing, which would be no limit at all.
    fn remaining(&self, until: Instant) -> Duration {
        until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    /// Rank 0 listens at all of its addresses, but where all ranks are on its machine at the one that no other machine reaches.
    fn bound_to(&self) -> IpAddr {
        let mut named = (self.host.as_str(), self.port).to_socket_addrs().into_iter().flatten();
        match named.next() {
            Some(address) if address.ip().is_loopback() => address.ip(),
            Some(SocketAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
            _ => Ipv4Addr::UNSPECIFIED.into(),
        }
    }
}

/// A connection that begins as it should, with what it says.
fn greeted(mut stream: TcpStream) -> Option<(TcpStream, Hello)> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(GREETING_TIME)).ok()?;
    let (mut greeting, mut rank, mut size, mut port) = ([0; GREETING.len()], [0; 4], [0; 4], [0; 2]);
    for part in [&mut greeting[..], &mut rank, &mut size, &mut port] {
        stream.read_exact(part).ok()?;
    }
    let (rank, size) = (u32::from_le_bytes(rank) as usize, u32::from_le_bytes(size) as usize);
    (&greeting == GREETING).then_some((stream, Hello { rank, size, port: u16::from_le_bytes(port) }))
}

fn read_table(stream: &mut TcpStream, time: Duration) -> std::io::Result<String> {
    stream.set_read_timeout(Some(time))?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut table = String::new();
    stream.take(u64::from(u32::from_le_bytes(length))).read_to_string(&mut table)?;
    Ok(table)
}

/// Ranks as one says them.
fn names(ranks: &[usize]) -> String {
    let names: Vec<String> = ranks.iter().map(ToString::to_string).collect();
    let noun = if ranks.len() == 1 { "rank" } else { "ranks" };
    format!("{noun} {}", names.join(", "))
}

/// A port of this machine that nobody listens on.
#[cfg(test)]
pub(super) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|found| found.local_addr()).expect("a port").port()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(rank: usize, size: usize, port: u16) -> Rendezvous {
        Rendezvous { rank, size, host: "localhost".into(), port, patience: Duration::from_secs(1) }
    }

    #[test]
    fn who_does_not_come_is_named() {
        let error = at(0, 3, free_port()).join().err().expect("nobody came").to_string();
        assert!(error.contains("waited 1 s for ranks 1, 2, in vain"), "{error}");
        let error = at(2, 3, free_port()).join().err().expect("nobody is there").to_string();
        assert!(error.starts_with("rank 2 of 3: waited 1 s for rank 0 at localhost:"), "{error}");
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let error = Rendezvous { host: "127.0.0.1".into(), ..at(0, 2, port) }.join().err().expect("taken").to_string();
        assert!(error.contains(&format!("127.0.0.1:{port}")) && error.contains("MASTER_PORT"), "{error}");
    }

    #[test]
    fn processes_that_do_not_fit_together_are_refused() {
        for (other, expected) in [(at(1, 4, 0), "one of 4"), (at(0, 3, 0), "rank 0 again")] {
            let port = free_port();
            std::thread::scope(|scope| {
                let leader = scope.spawn(move || at(0, 3, port).join());
                let other = Rendezvous { port, ..other };
                let mut stream = other.connected(0, &format!("localhost:{port}"), Instant::now() + other.patience);
                other.greet(stream.as_mut().expect("it listens"), 9).expect("greeted");
                let error = leader.join().expect("ended").err().expect("refused").to_string();
                assert!(error.contains(expected), "{error}");
            });
        }
    }

    #[test]
    fn a_stranger_is_hung_up_on() {
        let port = free_port();
        std::thread::scope(|scope| {
            let ranks = [0, 1].map(|rank| {
                scope.spawn(move || Rendezvous { patience: Duration::from_secs(20), ..at(rank, 2, port) }.join())
            });
            let mut stranger = at(1, 2, port).connected(0, &format!("localhost:{port}"), Instant::now() + PAUSE * 20);
            if let Ok(stream) = &mut stranger {
                let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
            }
            assert!(ranks.into_iter().all(|rank| rank.join().expect("ended").is_ok()));
        });
    }
}
