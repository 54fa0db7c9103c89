//! The sum of all ranks' gradients, in the order of the micro-batches.

use burn::tensor::{Device, Tensor, TensorData};
use interfuse_kernels::accumulate;
use interfuse_parameters::ParameterInfo;

use super::{Collective, ParallelError, Ranks};
use crate::error::TrainError;
use crate::optimization::FlatGradients;

/// A weight, as far as its gradient is concerned.
pub(crate) struct Weight {
    pub(crate) info: ParameterInfo,
    /// The group whose norm it is part of, if any.
    pub(crate) group: Option<usize>,
}

/// Adds up the gradients of this rank's micro-batches, `parts`, and those of all other ranks.
///
/// A weight whose part had no row anywhere has no gradient afterwards, as in one process.
///
/// # Errors
/// When a rank cannot be reached, or the device failed.
pub(crate) fn sum(
    ranks: &Ranks,
    parts: Vec<FlatGradients>,
    weights: impl FnOnce() -> Vec<Weight>,
    device: &Device,
) -> Result<FlatGradients, TrainError> {
    let Some(collective) = &ranks.0 else {
        return Ok(parts.into_iter().fold(FlatGradients::default(), FlatGradients::and));
    };
    let weights = weights();
    let mut collective = collective.borrow_mut();
    let holders = holders(&mut *collective, &parts, &weights)?;
    let mut chain = Chain { collective: &mut *collective, parts, device };
    let mut sums = Vec::with_capacity(weights.len());
    for (weight, holders) in weights.iter().zip(&holders) {
        sums.push(chain.add(weight, holders)?);
    }
    let mut all = FlatGradients::default();
    for ((weight, holders), mut sum) in weights.into_iter().zip(holders).zip(sums) {
        let Some(&last) = holders.last() else { continue };
        sum.resize(weight.info.count(), 0.0);
        chain.collective.broadcast(last, &mut sum)?;
        all.put(weight.info.name, weight.group, Tensor::from_data(TensorData::from(&sum[..]), device));
    }
    Ok(all)
}

/// Which ranks have a gradient of each weight.
fn holders(
    collective: &mut dyn Collective,
    parts: &[FlatGradients],
    weights: &[Weight],
) -> Result<Vec<Vec<usize>>, ParallelError> {
    let has = |weight: &Weight| u8::from(parts.iter().any(|part| part.contains(&weight.info.name)));
    let found = collective.gather(&weights.iter().map(has).collect::<Vec<u8>>())?;
    let of = |weight: usize| (0..found.len()).filter(|&rank| found[rank].get(weight) == Some(&1)).collect();
    Ok((0..weights.len()).map(of).collect())
}

/// From rank to rank: what came from the one before, this rank's own, and on to the next.
struct Chain<'a> {
    collective: &'a mut dyn Collective,
    parts: Vec<FlatGradients>,
    device: &'a Device,
}

impl Chain<'_> {
    /// The sum so far of a weight's gradient; it is whole on the last of the ranks that have one, and of no use elsewhere.
    fn add(&mut self, weight: &Weight, holders: &[usize]) -> Result<Vec<f32>, TrainError> {
        let Some(place) = holders.iter().position(|&rank| rank == self.collective.rank()) else { return Ok(vec![]) };
        let mut sum = None;
        if place > 0 {
            let mut received = vec![0.0; weight.info.count()];
            self.collective.receive(holders[place - 1], &mut received)?;
            sum = Some(Tensor::from_data(TensorData::new(received, [weight.info.count()]), self.device));
        }
        for gradient in self.parts.iter_mut().filter_map(|part| part.take(&weight.info.name)) {
            sum = match sum {
                Some(sum) => accumulate(vec![sum], vec![gradient]).pop(),
                None => Some(gradient),
            };
        }
        let data = sum.map(|sum| sum.try_into_data().map_err(|error| TrainError::Device(format!("{error:?}"))));
        let sum = data.transpose()?.and_then(|data| data.try_to_vec::<f32>().ok()).unwrap_or_default();
        if let Some(&next) = holders.get(place + 1) {
            self.collective.send(next, &sum)?;
        }
        Ok(sum)
    }
}
