//! One layer of the backbone: every part on its own rows, attention over all.

use burn::module::Module;
use interfuse_kernels::WeightInit;
use interfuse_parameters::Named;

use crate::attention::shared_attention;
use crate::cache::LayerCache;
use crate::config::{BackboneConfig, WeightKind};
use crate::feed_forward::router::RouterOutput;
use crate::part::{PartDimensions, PartLayer};
use crate::rows::Rows;
use crate::stream::Stream;
use crate::weights::{PartSettings, PartWeights};

/// One layer of the backbone.
#[derive(Module, Debug)]
pub struct Layer {
    /// One for each part of the partition, and behind them what all have in common, if they have.
    pub parts: Named<PartWeights>,
    #[module(skip)]
    dimensions: PartDimensions,
}

/// What a layer gives.
#[derive(Clone, Debug)]
pub struct LayerOutput {
    /// By part; `None` for a part without rows.
    pub streams: Vec<Option<Stream>>,
    /// Keys and values of all rows seen.
    pub seen: LayerCache,
    /// By part; `None` where the feed-forward has no router.
    pub routers: Vec<Option<RouterOutput>>,
}

impl Layer {
    /// Fresh weights of the layer `index`, counted from 0.
    pub fn new(config: &BackboneConfig, index: usize, parts: &[PartSettings], init: &mut WeightInit) -> Self {
        let is_own = |kind| parts.len() == 1 || config.is_untied(kind, index);
        let mut owners: Vec<(String, PartWeights)> =
            parts.iter().map(|part| (part.name.clone(), PartWeights::new(config, part, is_own, init))).collect();
        if WeightKind::ALL.into_iter().any(|kind| !is_own(kind)) {
            let all = PartSettings::of_all(parts);
            let weights = PartWeights::new(config, &all, |kind| !is_own(kind), init);
            owners.push((all.name, weights));
        }
        let dimensions = PartDimensions { head_dim: config.head_dim(), norm: config.norm, layer: index };
        Self { parts: owners.into_iter().collect(), dimensions }
    }

    /// What the rows of each of so many parts meet.
    fn part_layers(&self, parts: usize) -> Vec<Option<PartLayer<'_>>> {
        let tied = self.parts.iter().nth(parts);
        self.parts.iter().take(parts).map(|own| PartLayer::of(own, tied, self.dimensions)).collect()
    }

    /// Algorithm 1 of Mixture-of-Transformers, with the norms where the configuration puts them.
    pub fn forward(&self, streams: Vec<Option<Stream>>, rows: &Rows, cache: Option<&LayerCache>) -> LayerOutput {
        let parts = self.part_layers(streams.len());
        let terms: Vec<_> = parts
            .iter()
            .zip(&streams)
            .zip(&rows.conditions)
            .map(|((part, stream), condition)| stream.as_ref().and((*part)?.terms(condition.as_ref())))
            .collect();
        let ready = parts.iter().zip(streams).zip(&terms).zip(&rows.streams);
        let projected = ready.map(|(((part, stream), terms), rows)| {
            let terms = terms.as_ref().map(|terms| &terms[0]);
            Some((*part)?.project(stream?, terms, &rows.as_ref()?.rope))
        });
        let (streams, projected): (Vec<_>, Vec<_>) = projected.map(Option::unzip).unzip();
        let (attended, seen) = shared_attention(projected, &rows.streams, cache);
        let finished = parts.iter().zip(streams).zip(attended).zip(&rows.streams).zip(&terms);
        let (streams, routers) = finished
            .map(|((((part, stream), attended), rows), terms)| match (*part, stream, attended, rows) {
                (Some(part), Some(stream), Some(attended), Some(rows)) => {
                    let (stream, router) = part.finish(stream, attended, rows, terms.as_ref());
                    (Some(stream), router)
                }
                _ => (None, None),
            })
            .unzip();
        LayerOutput { streams, seen, routers }
    }
}
