//! Shared self-attention: the only place where rows see one another.
//!
//! The experts' queries, keys and values are laid side by side along the sequence axis, attend as one sequence, and are cut
//! apart again: one `cat` and one slice an expert, with no gather.

use burn::tensor::Tensor;
use interfuse_kernels::{RopeTable, VisibleRanges, ranged_attention, rotate};

use crate::cache::LayerCache;
use crate::expert::Projected;

/// Attention of all rows of all experts.
///
/// Returns what each expert's rows gathered, `[B, S_e, H, Dh]`, and the rotated keys and the values of all rows that were
/// visible, the cache's before the new ones.
pub(crate) fn shared_attention(
    projected: Vec<Option<Projected>>,
    rope: &RopeTable,
    visible: &VisibleRanges,
    cache: Option<&LayerCache>,
) -> (Vec<Option<Tensor<4>>>, LayerCache) {
    let rows: Vec<Option<usize>> =
        projected.iter().map(|expert| expert.as_ref().map(|p| p.queries.dims()[1])).collect();
    let (mut queries, mut keys, mut values) = (vec![], vec![], vec![]);
    for expert in projected.into_iter().flatten() {
        queries.push(expert.queries);
        keys.push(expert.keys);
        values.push(expert.values);
    }
    let queries = rotate(join(queries), rope);
    let mut seen = LayerCache { keys: rotate(join(keys), rope), values: join(values) };
    if let Some(cache) = cache {
        seen.keys = join(vec![cache.keys.clone(), seen.keys]);
        seen.values = join(vec![cache.values.clone(), seen.values]);
    }
    let attended = ranged_attention(queries, seen.keys.clone(), seen.values.clone(), visible);

    let mut start = 0;
    let parts = rows.into_iter().map(|rows| {
        rows.map(|rows| {
            let part = attended.clone().narrow(1, start, rows);
            start += rows;
            part
        })
    });
    (parts.collect(), seen)
}

fn join(mut parts: Vec<Tensor<4>>) -> Tensor<4> {
    match parts.len() {
        1 => parts.remove(0),
        _ => Tensor::cat(parts, 1),
    }
}
