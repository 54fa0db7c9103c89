//! Shared self-attention: the only place where rows see one another.
//!
//! The parts' keys and values are laid side by side along the sequence axis, and the queries of each part attend to all of
//! them: keys and values are joined once each, with no gather and nothing to cut apart again.

use burn::tensor::Tensor;
use interfuse_kernels::{join_rows, ranged_attention};

use crate::cache::LayerCache;
use crate::part::Projected;
use crate::rows::StreamRows;

/// Attention of all rows of all parts.
///
/// Returns what each part's rows gathered, `[B, S_e, H, Dh]`, and the rotated keys and the values of all rows that were
/// visible, the cache's before the new ones.
pub(crate) fn shared_attention(
    projected: Vec<Option<Projected>>,
    rows: &[Option<StreamRows>],
    cache: Option<&LayerCache>,
) -> (Vec<Option<Tensor<4>>>, LayerCache) {
    let mut queries = vec![];
    let (mut keys, mut values) = match cache {
        Some(cache) => (vec![cache.keys.clone()], vec![cache.values.clone()]),
        None => (vec![], vec![]),
    };
    for (part, rows) in projected.into_iter().zip(rows) {
        queries.push(part.zip(rows.as_ref()).map(|(part, rows)| {
            keys.push(part.keys);
            values.push(part.values);
            (part.queries, &rows.visible)
        }));
    }
    let seen = LayerCache { keys: join_rows(keys), values: join_rows(values) };
    let attend = |(queries, visible)| ranged_attention(queries, seen.keys.clone(), seen.values.clone(), visible);
    (queries.into_iter().map(|queries| queries.map(attend)).collect(), seen)
}
