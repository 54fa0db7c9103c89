//! Independent batches side by side on the CPU.
//!
//! The matrices of a small model are too small to be worth sharing out among cores, and the cores then spend their time
//! waiting for one another. Instead each core takes a batch of its own and runs it alone, on a thread that stays, so that the
//! memory it frees is there for its next one.

use burn::tensor::Device;
use rayon::ThreadPool;

/// Workers with an equal share of the cores each; where there is a batch for every core, one thread.
#[derive(Debug)]
pub struct Workers {
    /// Whatever runs in one pool shares its work with nobody outside it.
    pools: Vec<ThreadPool>,
}

impl Workers {
    /// For work on `device`: one worker for each core of a CPU, but not more than `most`. A GPU takes one batch after the
    /// other.
    pub fn on(device: &Device, most: usize) -> Self {
        Self::new(if *device == Device::flex() { most } else { 1 })
    }

    /// How many items run at once.
    pub fn count(&self) -> usize {
        self.pools.len().max(1)
    }

    /// None when one would be all, or when the system gives no thread.
    fn new(most: usize) -> Self {
        Self::sharing(std::thread::available_parallelism().map_or(1, usize::from), most)
    }

    fn sharing(cores: usize, most: usize) -> Self {
        let workers = cores.min(most);
        let pool = |_| rayon::ThreadPoolBuilder::new().num_threads(cores / workers).build().ok();
        Self { pools: if workers < 2 { vec![] } else { (0..workers).filter_map(pool).collect() } }
    }

    /// Applies `f` to every item and returns the results in the items' order.
    pub fn map<I: Sync, T: Send>(&self, items: &[I], f: impl Fn(&I) -> T + Sync) -> Vec<T> {
        if self.pools.is_empty() || items.len() < 2 {
            return items.iter().map(f).collect();
        }
        let mut results = Vec::with_capacity(items.len());
        for group in items.chunks(self.pools.len()) {
            let f = &f;
            results.extend(std::thread::scope(|scope| {
                let work = self.pools.iter().zip(group);
                let threads: Vec<_> = work.map(|(pool, item)| scope.spawn(move || pool.install(|| f(item)))).collect();
                let joined = threads.into_iter().map(|t| t.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
                joined.collect::<Vec<T>>()
            }));
        }
        results
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_each_worker_has_its_share_of_the_cores() {
        let items: Vec<usize> = (0..7).collect();
        for (cores, most, share) in [(2, 2, 1), (2, 7, 1), (8, 3, 2), (5, 5, 1), (16, 2, 8)] {
            let out = Workers::sharing(cores, most).map(&items, |&i| (i * i, rayon::current_num_threads()));
            assert!(out.iter().map(|(square, _)| *square).eq(items.iter().map(|i| i * i)));
            assert!(out.iter().all(|(_, threads)| *threads == share), "{cores} cores, {most} at most");
        }
        assert!(Workers::sharing(1, 4).pools.is_empty() && Workers::sharing(4, 1).pools.is_empty());
    }
}
