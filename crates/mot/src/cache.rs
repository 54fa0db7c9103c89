//! Keys and values of rows that were computed before.
//!
//! Dimensions: `B` batch, `Sp` rows in the cache, `G` key/value heads, `Dh` width of a head.

use burn::tensor::{Int, Tensor};

/// Rotated keys and values of every layer, and the reading order of their rows.
#[derive(Clone, Debug, Default)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    /// `[B, Sp]`
    order: Option<Tensor<2, Int>>,
}

/// Keys and values of one layer. Each `[B, Sp, G, Dh]`.
#[derive(Clone, Debug)]
pub struct LayerCache {
    /// Rotated.
    pub keys: Tensor<4>,
    /// As projected.
    pub values: Tensor<4>,
}

/// What a forward pass does with the cache.
#[derive(Debug)]
pub enum CacheUse<'a> {
    /// Rows see one another alone.
    None,
    /// Rows see the cache and one another; the cache stays as it is. A denoise step does this.
    Read(&'a KvCache),
    /// As `Read`, and the rows join the cache. Prefill, the next token and a finished image do this.
    Append(&'a mut KvCache),
}

impl KvCache {
    /// Rows in the cache.
    pub fn rows(&self) -> usize {
        self.order.as_ref().map_or(0, |order| order.dims()[1])
    }

    /// Reading order of the cached rows. `[B, Sp]`
    pub fn order(&self) -> Option<Tensor<2, Int>> {
        self.order.clone()
    }

    pub(crate) fn layer(&self, index: usize) -> Option<&LayerCache> {
        self.layers.get(index)
    }

    pub(crate) fn set_layer(&mut self, index: usize, layer: LayerCache) {
        match self.layers.get_mut(index) {
            Some(place) => *place = layer,
            None => self.layers.push(layer),
        }
    }

    pub(crate) fn append_order(&mut self, order: Tensor<2, Int>) {
        self.order = Some(match self.order.take() {
            Some(before) => Tensor::cat(vec![before, order], 1),
            None => order,
        });
    }

    /// Keeps the sequences `indices` of the batch, in that order; an index may come more than once.
    ///
    /// # Shapes
    /// - `indices`: `[B']`
    pub fn select(&self, indices: Tensor<1, Int>) -> Self {
        let pick = |x: &Tensor<4>| x.clone().select(0, indices.clone());
        Self {
            layers: self
                .layers
                .iter()
                .map(|layer| LayerCache { keys: pick(&layer.keys), values: pick(&layer.values) })
                .collect(),
            order: self.order.clone().map(|order| order.select(0, indices.clone())),
        }
    }
}

impl CacheUse<'_> {
    /// The cache that the rows see, if any.
    pub(crate) fn visible(&self) -> Option<&KvCache> {
        match self {
            Self::None => None,
            Self::Read(cache) => Some(cache),
            Self::Append(cache) => Some(cache),
        }
    }
}
