//! Ranks as threads of one process: the transport that tests use.

use std::sync::mpsc::{Receiver, Sender, channel};

use interfuse_trainer::{Collective, ParallelError, Ranks};

/// A message: numbers, or bytes.
enum Message {
    Numbers(Vec<f32>),
    Bytes(Vec<u8>),
}

/// One of several threads, with a channel to and from each.
pub struct Threads {
    rank: usize,
    to: Vec<Sender<Message>>,
    from: Vec<Receiver<Message>>,
}

impl Threads {
    /// So many ranks that reach one another.
    pub fn joined(size: usize) -> Vec<Self> {
        let mut ranks: Vec<Self> = (0..size).map(|rank| Self { rank, to: vec![], from: vec![] }).collect();
        for from in 0..size {
            for to in 0..size {
                let (sender, receiver) = channel();
                ranks[from].to.push(sender);
                // Receivers come in the order of the senders, for each rank.
                ranks[to].from.push(receiver);
            }
        }
        ranks
    }

    fn fail(&self, reason: &str) -> ParallelError {
        ParallelError::Transport { rank: self.rank, size: self.to.len(), reason: reason.into() }
    }

    fn put(&self, to: usize, message: Message) -> Result<(), ParallelError> {
        self.to[to].send(message).map_err(|_| self.fail("the other rank has ended"))
    }

    fn get(&self, from: usize) -> Result<Message, ParallelError> {
        self.from[from].recv().map_err(|_| self.fail("the other rank has ended"))
    }
}

impl Collective for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn send(&mut self, to: usize, numbers: &[f32]) -> Result<(), ParallelError> {
        self.put(to, Message::Numbers(numbers.to_vec()))
    }

    fn receive(&mut self, from: usize, numbers: &mut [f32]) -> Result<(), ParallelError> {
        match self.get(from)? {
            Message::Numbers(found) if found.len() == numbers.len() => numbers.copy_from_slice(&found),
            _ => return Err(self.fail("another message than was expected")),
        }
        Ok(())
    }

    fn broadcast(&mut self, from: usize, numbers: &mut [f32]) -> Result<(), ParallelError> {
        if from != self.rank {
            return self.receive(from, numbers);
        }
        (0..self.size()).filter(|&to| to != from).try_for_each(|to| self.put(to, Message::Numbers(numbers.to_vec())))
    }

    fn gather(&mut self, own: &[u8]) -> Result<Vec<Vec<u8>>, ParallelError> {
        (0..self.size()).try_for_each(|to| self.put(to, Message::Bytes(own.to_vec())))?;
        let bytes = |from| match self.get(from)? {
            Message::Bytes(found) => Ok(found),
            Message::Numbers(_) => Err(self.fail("another message than was expected")),
        };
        (0..self.size()).map(bytes).collect()
    }

    fn abort(&mut self) {
        // The others notice it by their channels.
        self.to.clear();
    }
}

/// What `run` gives on each of so many ranks.
pub fn on_ranks<T: Send>(size: usize, run: impl Fn(Ranks) -> T + Sync) -> Vec<T> {
    let run = &run;
    std::thread::scope(|scope| {
        let ranks = Threads::joined(size).into_iter();
        let threads: Vec<_> = ranks.map(|rank| scope.spawn(move || run(Ranks::joined(rank)))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a rank that ends well")).collect()
    })
}
