//! Ranks that are joined by a connection for each two of them: what `torchrun --no-python` starts, a Kubernetes job, or a shell.
//! It needs no library.
//!
//! All numbers are little-endian. Connections tell of a rank that ended at once, and of a machine that is gone within a
//! minute.

mod rendezvous;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

pub use self::rendezvous::Rendezvous;
use super::{Collective, ParallelError};

/// After how long without an answer a machine is taken for gone.
const SILENCE: Duration = Duration::from_secs(45);
/// Numbers that are sent at once, and handed on while the next ones are on their way.
const CHUNK: usize = 1 << 16;

/// This process among the ranks.
pub struct Sockets {
    rank: usize,
    /// By rank; none to itself.
    peers: Vec<Option<TcpStream>>,
}

impl Sockets {
    fn failed(&self, peer: usize, error: &std::io::Error) -> ParallelError {
        let reason = match error.kind() {
            std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::BrokenPipe
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionAborted => format!("rank {peer} has ended"),
            _ => format!("rank {peer} does not answer ({error})"),
        };
        ParallelError::Transport { rank: self.rank, size: self.peers.len(), reason }
    }

    /// Does something with the connection to another rank.
    fn with<T>(
        &mut self,
        peer: usize,
        f: impl FnOnce(&mut TcpStream) -> std::io::Result<T>,
    ) -> Result<T, ParallelError> {
        let stream = self.peers.get_mut(peer).and_then(Option::as_mut);
        let found = stream.map_or_else(|| Err(std::io::ErrorKind::NotConnected.into()), f);
        found.map_err(|error| self.failed(peer, &error))
    }

    fn send_bytes(&mut self, to: usize, bytes: &[u8]) -> Result<(), ParallelError> {
        self.with(to, |stream| {
            stream.write_all(&(bytes.len() as u64).to_le_bytes())?;
            stream.write_all(bytes)
        })
    }

    fn receive_bytes(&mut self, from: usize) -> Result<Vec<u8>, ParallelError> {
        self.with(from, |stream| {
            let mut length = [0; size_of::<u64>()];
            stream.read_exact(&mut length)?;
            let length = u64::from_le_bytes(length);
            let mut bytes = vec![];
            match stream.take(length).read_to_end(&mut bytes)? as u64 == length {
                true => Ok(bytes),
                false => Err(std::io::ErrorKind::UnexpectedEof.into()),
            }
        })
    }

    /// The neighbours on the ring of ranks: the one before, the one behind.
    fn neighbours(&self) -> [usize; 2] {
        let size = self.peers.len();
        [(self.rank + size - 1) % size, (self.rank + 1) % size]
    }
}

impl Collective for Sockets {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.peers.len()
    }

    fn send(&mut self, to: usize, numbers: &[f32]) -> Result<(), ParallelError> {
        self.with(to, |stream| numbers.chunks(CHUNK).try_for_each(|chunk| stream.write_all(&bytes_of(chunk))))
    }

    fn receive(&mut self, from: usize, numbers: &mut [f32]) -> Result<(), ParallelError> {
        let mut bytes = vec![0; CHUNK.min(numbers.len()) * size_of::<f32>()];
        self.with(from, |stream| {
            numbers.chunks_mut(CHUNK).try_for_each(|chunk| {
                let bytes = &mut bytes[..size_of_val(chunk)];
                stream.read_exact(bytes)?;
                put_numbers(bytes, chunk);
                Ok(())
            })
        })
    }

    /// Around the ring: a rank hands on what has come while the rest is on its way.
    fn broadcast(&mut self, from: usize, numbers: &mut [f32]) -> Result<(), ParallelError> {
        let [before, behind] = self.neighbours();
        for chunk in numbers.chunks_mut(CHUNK) {
            if self.rank != from {
                self.receive(before, chunk)?;
            }
            if behind != from && behind != self.rank {
                self.send(behind, chunk)?;
            }
        }
        Ok(())
    }

    /// To rank 0, and from there to all.
    fn gather(&mut self, own: &[u8]) -> Result<Vec<Vec<u8>>, ParallelError> {
        let size = self.peers.len();
        if self.rank > 0 {
            self.send_bytes(0, own)?;
            return (0..size).map(|_| self.receive_bytes(0)).collect();
        }
        let mut all = vec![own.to_vec()];
        for rank in 1..size {
            all.push(self.receive_bytes(rank)?);
        }
        for rank in 1..size {
            all.iter().try_for_each(|bytes| self.send_bytes(rank, bytes))?;
        }
        Ok(all)
    }

    /// Closes all connections, by which the others know.
    fn abort(&mut self) {
        for stream in self.peers.iter_mut().filter_map(Option::take) {
            // Whoever is at the other end may be gone already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A connection that sends without delay, and notices when nobody is at the other end any more.
fn prepared(stream: TcpStream) -> std::io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE / 3).with_interval(SILENCE / 4).with_retries(3))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SILENCE))?;
    Ok(stream)
}

fn bytes_of(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn put_numbers(bytes: &[u8], numbers: &mut [f32]) {
    for (bytes, number) in bytes.as_chunks().0.iter().zip(numbers) {
        *number = f32::from_le_bytes(*bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `f` on so many ranks at once.
    fn on_ranks<T: Send>(size: usize, f: impl Fn(Sockets) -> T + Sync) -> Vec<T> {
        let port = rendezvous::free_port();
        std::thread::scope(|scope| {
            let ranks: Vec<_> = (0..size)
                .map(|rank| {
                    let meeting =
                        Rendezvous { rank, size, host: "127.0.0.1".into(), port, patience: Duration::from_secs(20) };
                    let f = &f;
                    scope.spawn(move || f(meeting.join().expect("joined")))
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().expect("ended")).collect()
        })
    }

    #[test]
    fn numbers_come_as_they_were_sent() {
        let numbers = |rank: usize| (0..3 * CHUNK / 2).map(|i| (i * 7 + rank) as f32 - 0.1).collect::<Vec<_>>();
        for size in [2, 3, 5] {
            let found = on_ranks(size, |mut sockets| {
                let rank = sockets.rank();
                let gathered = sockets.gather(&vec![rank as u8; rank * 1000]).expect("gathered");
                let mut of_last = if rank == size - 1 { numbers(rank) } else { vec![0.0; numbers(rank).len()] };
                sockets.broadcast(size - 1, &mut of_last).expect("broadcast");
                let mut of_first = vec![0.0; numbers(0).len()];
                match rank {
                    0 => sockets.send(size - 1, &numbers(0)).expect("sent"),
                    rank if rank == size - 1 => sockets.receive(0, &mut of_first).expect("received"),
                    _ => {}
                }
                (gathered, of_last, of_first)
            });
            for (gathered, of_last, _) in &found {
                assert_eq!(*gathered, (0..size).map(|rank| vec![rank as u8; rank * 1000]).collect::<Vec<_>>());
                assert!(*of_last == numbers(size - 1), "{size} ranks");
            }
            assert!(found[size - 1].2 == numbers(0), "{size} ranks");
        }
    }

    #[test]
    fn a_rank_that_ends_is_named_by_those_who_wait_for_it() {
        let found = on_ranks(3, |mut sockets| match sockets.rank() {
            1 => {
                sockets.abort();
                None
            }
            _ => Some(sockets.receive(1, &mut [0.0; 4]).expect_err("gone").to_string()),
        });
        assert_eq!(found[0].as_deref(), Some("rank 0 of 3: rank 1 has ended"));
        assert_eq!(found[2].as_deref(), Some("rank 2 of 3: rank 1 has ended"));
    }
}
