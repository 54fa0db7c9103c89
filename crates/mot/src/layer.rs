//! One layer of the backbone: every part on its own rows, attention over all.

use burn::module::Module;
use burn::tensor::Tensor;
use interfuse_kernels::WeightInit;
use interfuse_parameters::Named;

use crate::attention::shared_attention;
use crate::cache::LayerCache;
use crate::config::BackboneConfig;
use crate::feed_forward::router::RouterOutput;
use crate::part::PartLayer;
use crate::partition::Streams;
use crate::rows::Rows;

/// One layer of the backbone.
#[derive(Module, Debug)]
pub struct Layer {
    /// One for each part of the partition.
    pub parts: Named<PartLayer>,
}

/// What a part is known by and made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSettings {
    /// The names of its modalities, such as `text` or `image+speech`; its weights carry it.
    pub name: String,
    /// Whether its rows may have a condition for adaptive norms.
    pub conditioned: bool,
}

/// What a layer gives.
#[derive(Clone, Debug)]
pub struct LayerOutput {
    /// By part.
    pub streams: Streams,
    /// Keys and values of all rows seen.
    pub seen: LayerCache,
    /// By part; `None` where the feed-forward has no router.
    pub routers: Vec<Option<RouterOutput>>,
}

impl Layer {
    /// Fresh weights.
    pub fn new(config: &BackboneConfig, parts: &[PartSettings], init: &mut WeightInit) -> Self {
        let new = |part: &PartSettings| (part.name.clone(), PartLayer::new(config, part, init));
        Self { parts: parts.iter().map(new).collect() }
    }

    /// Algorithm 1 of Mixture-of-Transformers, with the norms where the configuration puts them.
    pub fn forward(&self, streams: Streams, rows: &Rows, cache: Option<&LayerCache>) -> LayerOutput {
        let terms: Vec<_> = self
            .parts
            .iter()
            .zip(&streams)
            .zip(&rows.conditions)
            .map(|((part, stream), condition)| stream.as_ref().and(part.terms(condition.as_ref())))
            .collect();
        let ready = self.parts.iter().zip(&streams).zip(&terms).zip(&rows.streams);
        let projected = ready.map(|(((part, stream), terms), rows)| {
            let (stream, rows): (Tensor<3>, _) = (stream.clone()?, rows.as_ref()?);
            Some(part.project(stream, terms.as_ref().map(|terms| &terms[0]), &rows.rope))
        });
        let (attended, seen) = shared_attention(projected.collect(), &rows.streams, cache);
        let finished = self.parts.iter().zip(streams).zip(attended).zip(&rows.streams).zip(&terms);
        let (streams, routers) = finished
            .map(|((((part, stream), attended), rows), terms)| match (stream, attended, rows) {
                (Some(stream), Some(attended), Some(rows)) => {
                    let (stream, router) = part.finish(stream, attended, &rows.filled, terms.as_ref());
                    (Some(stream), router)
                }
                _ => (None, None),
            })
            .unzip();
        LayerOutput { streams, seen, routers }
    }
}
