//! How routers distribute the rows of a whole step, counted before its first backward pass.

use burn::tensor::Tensor;
use interfuse_mot::CacheUse;
use interfuse_transfusion::{RouterLoads, TrainBatch};

use crate::error::TrainError;
use crate::optimization::gradients::read_numbers;
use crate::optimization::tape;
use crate::trainer::Trainer;

impl Trainer {
    /// Runs the model over this rank's micro-batches and adds up, over those of all ranks, how many rows went to each
    /// expert.
    ///
    /// # Errors
    /// When a rank cannot be reached, or the device failed.
    pub(crate) fn router_loads(&self, batches: &[TrainBatch]) -> Result<RouterLoads, TrainError> {
        let (setup, model) = (&self.setup, &self.model);
        let forward = |batch: &TrainBatch| {
            let model = tape::on_its_own_tape(model);
            setup.computing(|| model.forward(batch.input(), CacheUse::None).routers)
        };
        let (numbers, layers) = (self.numbers(), model.backbone.layers.len());
        let experts = numbers.experts();
        let mut own = vec![0.0; layers * experts.iter().sum::<usize>()];
        for routers in self.workers.map(batches, forward) {
            let taken = routers.iter().flatten().flatten().map(|router| router.taken.clone().sum_dim(0).reshape([-1]));
            let taken: Vec<Tensor<1>> = taken.collect();
            if taken.is_empty() {
                continue;
            }
            let mut read = read_numbers(taken)?.into_iter().map(f64::from);
            let mut sums = own.iter_mut();
            for layer in 0..layers {
                for (part, &count) in experts.iter().enumerate() {
                    let is_there = routers.get(layer).is_some_and(|parts| parts[part].is_some());
                    for sum in sums.by_ref().take(count) {
                        *sum += if is_there { read.next().unwrap_or(f64::NAN) } else { 0.0 };
                    }
                }
            }
        }
        let length = own.len().max(1);
        let mut sums = vec![0.0; own.len()];
        for of_rank in self.ranks.gather_numbers(own)?.chunks_exact(length) {
            sums.iter_mut().zip(of_rank).for_each(|(sum, more)| *sum += more);
        }
        let mut sums = sums.into_iter();
        let mut of_layer = || experts.iter().map(|&count| sums.by_ref().take(count).collect()).collect();
        Ok(RouterLoads((0..layers).map(|_| of_layer()).collect()))
    }
}
