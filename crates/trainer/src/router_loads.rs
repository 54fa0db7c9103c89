//! How routers distribute the rows of a whole step, counted before its first backward pass.

use burn::tensor::Tensor;
use interfuse_kernels::Workers;
use interfuse_mot::{CacheUse, RouterOutput};
use interfuse_transfusion::{RouterLoads, TrainBatch, Transfusion};

use crate::error::TrainError;
use crate::optimization::gradients::read_numbers;
use crate::optimization::tape;
use crate::parallel::Ranks;

/// Runs the model over all micro-batches and adds up, over those of all ranks, how many rows went to each expert; `experts`
/// has the number of each part's, 0 without a router.
///
/// # Errors
/// When a rank cannot be reached, or the device failed.
pub(crate) fn count(
    model: &Transfusion,
    batches: &[TrainBatch],
    experts: &[usize],
    workers: &Workers,
    ranks: &Ranks,
    with_precision: impl Fn(&dyn Fn() -> Routers) -> Routers + Sync,
) -> Result<RouterLoads, TrainError> {
    let forward = |batch: &TrainBatch| {
        with_precision(&|| tape::on_its_own_tape(model).forward(batch.input(), CacheUse::None).routers)
    };
    let layers = model.backbone.layers.len();
    let mut sums = vec![0.0; layers * experts.iter().sum::<usize>()];
    for routers in workers.map(batches, forward) {
        let taken = routers.iter().flatten().flatten().map(|router| router.taken.clone().sum_dim(0).reshape([-1]));
        let taken: Vec<Tensor<1>> = taken.collect();
        if taken.is_empty() {
            continue;
        }
        let mut read = read_numbers(taken)?.into_iter().map(f64::from);
        let mut places = sums.iter_mut();
        for layer in 0..layers {
            for (part, &count) in experts.iter().enumerate() {
                let is_there = routers.get(layer).is_some_and(|parts| parts[part].is_some());
                for place in places.by_ref().take(count) {
                    *place += if is_there { read.next().unwrap_or(f64::NAN) } else { 0.0 };
                }
            }
        }
    }
    let all = ranks.gather_numbers(sums.clone())?;
    let mut sums: Vec<f64> = vec![0.0; sums.len()];
    for of_rank in all.chunks_exact(sums.len().max(1)) {
        sums.iter_mut().zip(of_rank).for_each(|(sum, more)| *sum += more);
    }
    let mut sums = sums.into_iter();
    let mut of_layer = || experts.iter().map(|&count| sums.by_ref().take(count).collect()).collect();
    Ok(RouterLoads((0..layers).map(|_| of_layer()).collect()))
}

/// By layer and part.
type Routers = Vec<Vec<Option<RouterOutput>>>;
