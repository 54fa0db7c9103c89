//! Moments in shares (ZeRO stage 1; Rajbhandari et al., 1910.02054, section 5.1): each rank remembers and updates some of the
//! weights, and hands the updated ones to all.
//!
//! ```text
//! gradients ─ summed, each for its owner ─► norm of all ─► the owner updates ─► new weights for all
//! ```
//!
//! What is trained is what it would be without: sums, norms and updates are the same, only made elsewhere.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use interfuse_parameters::{
    ParameterInfo, ParameterMapper, ParameterVisitor, map_parameters, replaced, visit_parameters,
};

use super::{ParallelError, Ranks};
use crate::error::TrainError;
use crate::optimization::gradients::{SquaredNorm, on_host};
use crate::optimization::optimizer::{Moments, Optimizer};

/// Which rank keeps the moments of each weight.
#[derive(Debug)]
pub(crate) struct Sharding {
    ranks: Ranks,
    /// In the order of the names.
    weights: Vec<Owned>,
    /// Where each weight stands among them.
    places: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Owned {
    name: String,
    count: usize,
    owner: usize,
}

impl Sharding {
    /// Shares of about equal size: the largest weight first, each to whoever has least.
    pub(crate) fn new(ranks: &Ranks, weights: Vec<ParameterInfo>) -> Self {
        let weights = shared(weights, ranks.size());
        let places = weights.iter().enumerate().map(|(place, weight)| (weight.name.clone(), place)).collect();
        Self { ranks: ranks.clone(), weights, places }
    }

    /// Whose a weight is.
    pub(crate) fn owner(&self, name: &str) -> usize {
        self.places.get(name).map_or(0, |&place| self.weights[place].owner)
    }

    /// Whether a weight is this rank's.
    pub(crate) fn is_own(&self, name: &str) -> bool {
        self.owner(name) == self.ranks.rank()
    }

    /// The squared norms of all ranks' weights, in the order of the names.
    pub(crate) fn all_norms(&self, own: &[SquaredNorm<'_>]) -> Result<Vec<SquaredNorm<'_>>, ParallelError> {
        let group = |group: Option<usize>| group.map_or(-1.0, |group| group as f64);
        let numbers = own.iter().filter_map(|norm| {
            let place = *self.places.get(norm.name)?;
            Some([place as f64, group(norm.group), f64::from(norm.squared)])
        });
        let all = self.ranks.gather_numbers(numbers.flatten().collect())?;
        let mut all: Vec<[f64; 3]> = all.as_chunks().0.to_vec();
        all.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let read = |[place, group, squared]: [f64; 3]| SquaredNorm {
            name: self.weights.get(place as usize).map_or("", |weight| &weight.name),
            group: (group >= 0.0).then_some(group as usize),
            squared: squared as f32,
        };
        Ok(all.into_iter().map(read).collect())
    }

    /// Gives all ranks the weights that their owners have updated, those named in `updated` on this rank.
    pub(crate) fn spread<M: Module>(&self, model: M, updated: Vec<String>, device: &Device) -> Result<M, TrainError> {
        let mut own = TakeOut { names: updated, values: BTreeMap::new(), failed: None };
        visit_parameters(&model, &mut own);
        if let Some(error) = own.failed {
            return Err(TrainError::Device(error));
        }
        let places = own.values.keys().filter_map(|name| self.places.get(name));
        let places: Vec<u8> = places.flat_map(|&place| (place as u32).to_le_bytes()).collect();
        let mut others = BTreeMap::new();
        for (rank, places) in self.ranks.gather(&places)?.into_iter().enumerate() {
            for place in places.as_chunks().0 {
                let Some(weight) = self.weights.get(u32::from_le_bytes(*place) as usize) else { continue };
                let mut values = own.values.remove(&weight.name).unwrap_or_else(|| vec![0.0; weight.count]);
                self.ranks.broadcast(rank, &mut values)?;
                if rank != self.ranks.rank() {
                    others.insert(weight.name.clone(), values);
                }
            }
        }
        Ok(map_parameters(model, &mut PutIn { values: others, device }))
    }

    /// Brings all moments to rank 0, for a checkpoint; they are left in the memory of the host.
    pub(crate) fn gather(&self, optimizer: &mut Optimizer) -> Result<(), TrainError> {
        let is_leader = self.ranks.rank() == 0;
        let own: Vec<Remembered> = self.remembered(optimizer).collect();
        let own = own.into_iter().flat_map(Remembered::bytes).collect::<Vec<u8>>();
        for (rank, remembered) in self.ranks.gather(&own)?.into_iter().enumerate().skip(1) {
            for remembered in remembered.as_chunks().0.iter().map(Remembered::of) {
                let Some(weight) = self.weights.get(remembered.place) else { continue };
                if self.ranks.rank() == rank {
                    let Some(moments) = optimizer.moments.get(&weight.name) else { continue };
                    for moment in [Some(&moments.first), moments.second.as_ref()].into_iter().flatten() {
                        self.ranks.send(0, &on_host(moment.clone())?)?;
                    }
                } else if is_leader {
                    let received = || -> Result<Tensor<1>, ParallelError> {
                        let mut values = vec![0.0; weight.count];
                        self.ranks.receive(rank, &mut values)?;
                        Ok(Tensor::from_data(TensorData::new(values, [weight.count]), &Device::flex()))
                    };
                    let first = received()?;
                    let second = remembered.has_second.then(received).transpose()?;
                    optimizer.moments.insert(weight.name.clone(), Moments { first, second, steps: remembered.steps });
                }
            }
        }
        Ok(())
    }

    /// Forgets what [`Self::gather`] brought.
    pub(crate) fn keep_own(&self, optimizer: &mut Optimizer) {
        optimizer.moments.retain(|name, _| self.is_own(name));
    }

    fn remembered(&self, optimizer: &Optimizer) -> impl Iterator<Item = Remembered> {
        optimizer.moments.iter().filter(|(name, _)| self.is_own(name)).filter_map(|(name, moments)| {
            let (place, has_second) = (*self.places.get(name)?, moments.second.is_some());
            Some(Remembered { place, steps: moments.steps, has_second })
        })
    }
}

/// Gives each weight to one of `ranks`.
fn shared(weights: Vec<ParameterInfo>, ranks: usize) -> Vec<Owned> {
    let mut weights: Vec<Owned> =
        weights.into_iter().map(|info| Owned { count: info.count(), name: info.name, owner: 0 }).collect();
    weights.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    let mut held = vec![0; ranks];
    for weight in &mut weights {
        weight.owner = (0..ranks).min_by_key(|&rank| held[rank]).unwrap_or(0);
        held[weight.owner] += weight.count;
    }
    weights.sort_by(|a, b| a.name.cmp(&b.name));
    weights
}

/// What a rank remembers of a weight.
struct Remembered {
    place: usize,
    steps: u64,
    has_second: bool,
}

impl Remembered {
    const BYTES: usize = 13;

    fn bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&(self.place as u32).to_le_bytes());
        bytes[4..12].copy_from_slice(&self.steps.to_le_bytes());
        bytes[12] = u8::from(self.has_second);
        bytes
    }

    fn of(bytes: &[u8; Self::BYTES]) -> Self {
        let [place @ .., _, _, _, _, _, _, _, _, second] = bytes;
        let mut steps = [0; 8];
        steps.copy_from_slice(&bytes[4..12]);
        Self { place: u32::from_le_bytes(*place) as usize, steps: u64::from_le_bytes(steps), has_second: *second == 1 }
    }
}

/// Reads the weights that are named.
struct TakeOut {
    names: Vec<String>,
    values: BTreeMap<String, Vec<f32>>,
    failed: Option<String>,
}

impl ParameterVisitor for TakeOut {
    fn visit<const R: usize>(&mut self, info: &ParameterInfo, param: &Param<Tensor<R>>) {
        if !self.names.contains(&info.name) {
            return;
        }
        match on_host(param.val().inner().reshape([info.count()])) {
            Ok(values) => drop(self.values.insert(info.name.clone(), values)),
            Err(error) => self.failed = Some(error.to_string()),
        }
    }
}

/// Puts weights that came from other ranks in their places.
struct PutIn<'a> {
    values: BTreeMap<String, Vec<f32>>,
    device: &'a Device,
}

impl ParameterMapper for PutIn<'_> {
    fn map<const R: usize>(&mut self, info: &ParameterInfo, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
        let Some(values) = self.values.remove(&info.name) else { return param };
        let weight = Tensor::<R>::from_data(TensorData::new(values, info.shape.clone()), self.device);
        replaced(param, |_| Tensor::from_inner(weight))
    }
}

#[cfg(test)]
mod tests {
    use burn::module::ParamId;

    use super::*;

    #[test]
    fn shares_are_of_about_equal_size() {
        let weight = |(index, count): (usize, &usize)| ParameterInfo {
            name: format!("w{index}"),
            id: ParamId::from(index as u64),
            shape: vec![*count],
            is_linear: false,
            is_codebook: false,
        };
        let weights: Vec<_> = [70, 10, 40, 30, 50, 20, 10, 30].iter().enumerate().map(weight).collect();
        for ranks in 1..=4 {
            let mut held = vec![0; ranks];
            shared(weights.clone(), ranks).iter().for_each(|weight| held[weight.owner] += weight.count);
            assert_eq!(held.iter().sum::<usize>(), 260);
            let (least, most) = (held.iter().min().copied(), held.iter().max().copied());
            assert!(most <= least.map(|least| least + 20), "{ranks} ranks hold {held:?}");
        }
    }

    #[test]
    fn what_is_remembered_comes_back() {
        let bytes = Remembered { place: 70_000, steps: 1 << 40, has_second: true }.bytes();
        let found = Remembered::of(&bytes);
        assert_eq!((found.place, found.steps, found.has_second), (70_000, 1 << 40, true));
    }
}
