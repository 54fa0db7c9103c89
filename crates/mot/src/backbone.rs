//! All layers, and a last norm for each part.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use interfuse_kernels::rope::RopeFrequencies;
use interfuse_kernels::{Dropout, RopeTable, VisibleRanges, WeightInit, checkpoints_activations};
use interfuse_parameters::Named;
use interfuse_sequence::visibility::Visibility;
use interfuse_sequence::{PositionScheme, RowGeometry};

use crate::adaptive::StreamCondition;
use crate::cache::CacheUse;
use crate::checkpointing;
use crate::config::{BackboneConfig, WeightKind};
use crate::feed_forward::router::RouterOutput;
use crate::layer::{Layer, LayerOutput};
use crate::norm::RmsNorm;
use crate::partition::Streams;
use crate::rows::{Rows, StreamRows};
use crate::stream::Stream;
use crate::weights::PartSettings;

/// The backbone: rows in, rows out.
#[derive(Module, Debug)]
pub struct Backbone {
    /// From the first to the last.
    pub layers: Vec<Layer>,
    /// Before the towers' heads: one for each part, or one that all have in common.
    pub final_norms: Named<RmsNorm>,
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
    /// What is left out of what sub-layers add; `None` outside training.
    pub dropout: Option<Dropout>,
}

/// What comes out of the backbone.
#[derive(Clone, Debug)]
pub struct BackboneOutput {
    /// By part.
    pub streams: Streams,
    /// By layer and part; `None` where a feed-forward has no router.
    pub routers: Vec<Vec<Option<RouterOutput>>>,
}

impl Backbone {
    /// Fresh weights.
    pub fn new(
        config: &BackboneConfig,
        positions: PositionScheme,
        parts: &[PartSettings],
        init: &mut WeightInit,
    ) -> Self {
        let frequencies = match positions {
            PositionScheme::Sequential | PositionScheme::Shared => RopeFrequencies::sequential,
            PositionScheme::Axial => RopeFrequencies::axial,
        };
        let frequencies = frequencies(config.head_dim(), config.rope_theta);
        let frequencies = match &config.rope_scaling {
            Some(scaling) => frequencies.scaled(|speed| scaling.slowed(speed)),
            None => frequencies,
        };
        // It goes with the last layer.
        let last = config.n_layers.saturating_sub(1);
        let final_owners = match config.is_untied(WeightKind::Norm, last) {
            true => parts.to_vec(),
            false => vec![PartSettings::of_all(parts)],
        };
        Self {
            layers: (0..config.n_layers).map(|index| Layer::new(config, index, parts, init)).collect(),
            final_norms: final_owners
                .iter()
                .map(|part| (part.name.clone(), RmsNorm::new(config.d_model, config.norm_epsilon, init)))
                .collect(),
            frequencies,
        }
    }

    /// Runs all layers.
    pub fn forward(&self, input: BackboneInput, mut cache: CacheUse<'_>) -> BackboneOutput {
        let orders: Vec<Tensor<2, Int>> = input.geometry.iter().flatten().map(|rows| rows.order.clone()).collect();
        if orders.is_empty() {
            return BackboneOutput { streams: input.streams, routers: vec![] };
        }
        let order = Tensor::cat(orders, 1);
        let key_order = match cache.visible().and_then(|cache| cache.order()) {
            Some(prefix) => Tensor::cat(vec![prefix, order.clone()], 1),
            None => order.clone(),
        };
        let hidden_from = hidden_keys(&input.geometry, &key_order);
        let of_part = |(part, geometry): (u64, Option<RowGeometry>)| {
            let RowGeometry { order, visible_from, visible_until, positions, .. } = geometry?;
            let filled = visible_from.clone().lower(visible_until.clone()).float();
            let visible = VisibleRanges::new(key_order.clone(), visible_from, visible_until);
            Some(StreamRows {
                rope: RopeTable::new(positions, &self.frequencies),
                filled,
                visible: match &hidden_from {
                    Some(hidden_from) => visible.with_hidden_keys(order, hidden_from.clone()),
                    None => visible,
                },
                dropout: input.dropout.map(|dropout| dropout.at(part)),
            })
        };
        let streams = (0..).zip(input.geometry).map(of_part).collect();
        let rows = Rows { streams, conditions: input.conditions };

        let streams = input.streams.into_iter().map(|rows| rows.map(Stream::new));
        let (mut streams, mut routers) = (streams.collect(), Vec::with_capacity(self.layers.len()));
        for (index, layer) in self.layers.iter().enumerate() {
            let before = cache.visible().and_then(|cache| cache.layer(index));
            let output = match cache {
                CacheUse::None if checkpoints_activations() => checkpointing::forward(layer, streams, &rows),
                _ => layer.forward(streams, &rows, before),
            };
            let LayerOutput { streams: next, seen, routers: of_layer } = output;
            streams = next;
            routers.push(of_layer);
            if let CacheUse::Append(cache) = &mut cache {
                cache.set_layer(index, seen);
            }
        }
        if let CacheUse::Append(cache) = cache {
            cache.append_order(order);
        }
        let finals = self.final_norms.iter().cycle().zip(streams);
        let streams = finals.map(|(norm, stream)| stream.map(|stream| stream.normed(norm).1)).collect();
        BackboneOutput { streams, routers }
    }
}

/// From where on each key is hidden, those of a cache, which are hidden from nobody, before those of the rows; `None` where no
/// row is. A cache holds no row that is hidden: only training has such, and it has no cache.
fn hidden_keys(geometry: &[Option<RowGeometry>], key_order: &Tensor<2, Int>) -> Option<Tensor<2, Int>> {
    let parts: Vec<&RowGeometry> = geometry.iter().flatten().collect();
    let of_rows = RowGeometry::cat_hidden(&parts)?;
    let [batch, keys] = key_order.dims();
    let cached = [batch, keys - of_rows.dims()[1]];
    let of_cache = Tensor::full(cached, Visibility::NOBODY, &key_order.device());
    Some(if cached[1] == 0 { of_rows } else { Tensor::cat(vec![of_cache, of_rows], 1) })
}
