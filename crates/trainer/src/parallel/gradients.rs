//! The sum of all ranks' gradients, in the order of the micro-batches.

use burn::tensor::{Device, Tensor, TensorData};
use interfuse_kernels::accumulate;
use interfuse_parameters::ParameterInfo;

use super::{Collective, ParallelError, Ranks, Sharding};
use crate::error::TrainError;
use crate::optimization::FlatGradients;
use crate::optimization::gradients::on_host;

/// A weight, as far as its gradient is concerned.
pub(crate) struct Weight {
    pub(crate) info: ParameterInfo,
    /// The group whose norm it is part of, if any.
    pub(crate) group: Option<usize>,
}

/// Between whom gradients are exchanged.
pub(crate) struct Exchange<'a> {
    pub(crate) ranks: &'a Ranks,
    /// Who needs the sum of which weight; all of all if there is none.
    pub(crate) sharding: Option<&'a Sharding>,
    pub(crate) device: &'a Device,
}

impl Exchange<'_> {
    /// Adds up the gradients of this rank's micro-batches, `parts`, and those of all other ranks. Where moments are shared out,
    /// only those of this rank's weights are left.
    ///
    /// A weight whose part had no row anywhere has no gradient afterwards, as in one process.
    ///
    /// # Errors
    /// When a rank cannot be reached, or the device failed.
    pub(crate) fn sum(
        &self,
        parts: Vec<FlatGradients>,
        weights: impl FnOnce() -> Vec<Weight>,
    ) -> Result<FlatGradients, TrainError> {
        let Some(collective) = &self.ranks.0 else {
            return Ok(parts.into_iter().fold(FlatGradients::default(), FlatGradients::and));
        };
        let weights = weights();
        let mut collective = collective.borrow_mut();
        let holders = holders(&mut *collective, &parts, &weights)?;
        let mut chain = Chain { collective: &mut *collective, parts, device: self.device };
        let mut sums = Vec::with_capacity(weights.len());
        for (weight, holders) in weights.iter().zip(&holders) {
            sums.push(chain.add(weight, holders)?);
        }
        let mut all = FlatGradients::default();
        for ((weight, holders), sum) in weights.into_iter().zip(holders).zip(sums) {
            let Some(&last) = holders.last() else { continue };
            if let Some(sum) = self.deliver(chain.collective, last, &weight, sum)? {
                all.put(weight.info.name, weight.group, Tensor::from_data(TensorData::from(&sum[..]), self.device));
            }
        }
        Ok(all)
    }

    /// Brings a sum from the rank that has it to those that need it; nothing on a rank that does not.
    fn deliver(
        &self,
        collective: &mut dyn Collective,
        from: usize,
        weight: &Weight,
        mut sum: Vec<f32>,
    ) -> Result<Option<Vec<f32>>, ParallelError> {
        sum.resize(weight.info.count(), 0.0);
        let rank = collective.rank();
        match self.sharding.map(|sharding| sharding.owner(&weight.info.name)) {
            None => collective.broadcast(from, &mut sum)?,
            Some(owner) if owner == rank && from != rank => collective.receive(from, &mut sum)?,
            Some(owner) if owner == rank => {}
            Some(owner) if from == rank => {
                collective.send(owner, &sum)?;
                return Ok(None);
            }
            Some(_) => return Ok(None),
        }
        Ok(Some(sum))
    }
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
        let sum = sum.map(on_host).transpose()?.unwrap_or_default();
        if let Some(&next) = holders.get(place + 1) {
            self.collective.send(next, &sum)?;
        }
        Ok(sum)
    }
}
