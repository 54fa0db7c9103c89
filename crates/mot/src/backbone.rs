//! All layers, and a last norm for each part.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use interfuse_kernels::rope::RopeFrequencies;
use interfuse_kernels::{RopeTable, VisibleRanges, WeightInit};
use interfuse_sequence::{PositionScheme, RowGeometry};

use crate::adaptive::StreamCondition;
use crate::cache::CacheUse;
use crate::config::BackboneConfig;
use crate::layer::{Layer, Rows, StreamRows};
use crate::norm::RmsNorm;
use crate::partition::Streams;

/// The backbone: rows in, rows out.
#[derive(Module, Debug)]
pub struct Backbone {
    /// From the first to the last.
    pub layers: Vec<Layer>,
    /// One for each part, before the towers' heads.
    pub final_norms: Vec<RmsNorm>,
    #[module(skip)]
    frequencies: RopeFrequencies,
}

/// What goes through the backbone.
#[derive(Clone, Debug)]
pub struct BackboneInput {
    /// By part.
    pub streams: Streams,
    /// By part.
    pub geometry: Vec<Option<RowGeometry>>,
    /// By part.
    pub conditions: Vec<Option<StreamCondition>>,
}

impl Backbone {
    /// Fresh weights; `conditioned` says for each part whether its rows may have a condition.
    pub fn new(
        config: &BackboneConfig,
        positions: PositionScheme,
        conditioned: &[bool],
        init: &mut WeightInit,
    ) -> Self {
        let frequencies = match positions {
            PositionScheme::Sequential | PositionScheme::Shared => RopeFrequencies::sequential,
            PositionScheme::Axial => RopeFrequencies::axial,
        };
        Self {
            layers: (0..config.n_layers).map(|_| Layer::new(config, conditioned, init)).collect(),
            final_norms: conditioned.iter().map(|_| RmsNorm::new(config.d_model, config.norm_epsilon, init)).collect(),
            frequencies: frequencies(config.head_dim(), config.rope_theta),
        }
    }

    /// Runs all layers.
    pub fn forward(&self, input: BackboneInput, mut cache: CacheUse<'_>) -> Streams {
        let orders: Vec<Tensor<2, Int>> = input.geometry.iter().flatten().map(|rows| rows.order.clone()).collect();
        if orders.is_empty() {
            return input.streams;
        }
        let order = Tensor::cat(orders, 1);
        let key_order = match cache.visible().and_then(|cache| cache.order()) {
            Some(prefix) => Tensor::cat(vec![prefix, order.clone()], 1),
            None => order.clone(),
        };
        let of_stream = |RowGeometry { visible_from, visible_until, positions, .. }: RowGeometry| StreamRows {
            rope: RopeTable::new(positions, &self.frequencies),
            visible: VisibleRanges::new(key_order.clone(), visible_from, visible_until),
        };
        let streams = input.geometry.into_iter().map(|geometry| geometry.map(of_stream)).collect();
        let rows = Rows { streams, conditions: input.conditions };

        let mut streams = input.streams;
        for (index, layer) in self.layers.iter().enumerate() {
            let before = cache.visible().and_then(|cache| cache.layer(index));
            let (next, seen) = layer.forward(streams, &rows, before);
            streams = next;
            if let CacheUse::Append(cache) = &mut cache {
                cache.set_layer(index, seen);
            }
        }
        if let CacheUse::Append(cache) = cache {
            cache.append_order(order);
        }
        let finals = self.final_norms.iter().zip(streams);
        finals.map(|(norm, stream)| stream.map(|stream| norm.forward(stream))).collect()
    }
}
