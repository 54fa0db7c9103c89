//! Linear maps side by side, each over rows of its own: the products of a mixture of experts.
//!
//! Dimensions: `N` rows, sorted by group; `G` groups, each with one map `d_in → d_out`.
//!
//! A CPU looks at where the groups end and multiplies each group's rows by its matrix ([`cpu`]). A GPU must not ask the host,
//! so there rows are laid into a fixed number of blocks, each of one group, and one batched product runs over the blocks
//! ([`blocks`]), in Burn primitives; it has no kernel of its own.

mod blocks;
mod cpu;
mod reference;

use burn::backend::Dispatch;
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};

use self::cpu::{GroupedForm, GroupedLinearCpu};
use crate::init::WeightInit;
use crate::place::{Place, place_of};

pub use self::blocks::in_blocks;
pub use self::reference::reference;

/// `y = x W_g` for the rows of every group `g`. In a checkpoint the weight is `[G, d_out, d_in]`: matrices as PyTorch stores
/// them, one after the other.
#[derive(Module, Debug)]
pub struct GroupedLinear {
    /// `[G, d_in, d_out]`
    pub weight: Param<Tensor<3>>,
}

/// Which rows belong to which group.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // There is one for each mixture.
pub enum RowGroups {
    /// All groups have the same number of rows.
    Equal,
    /// One past the last row of each group, in their order; rows beyond the last belong to none and come out zero. `[G]`
    Ends(Tensor<1, Int>),
}

impl GroupedLinear {
    /// Normal weights of standard deviation `scale / √d_in`, as those of [`crate::Linear::scaled`].
    pub fn scaled(groups: usize, [d_in, d_out]: [usize; 2], scale: f64, init: &mut WeightInit) -> Self {
        Self { weight: init.normal([groups, d_in, d_out], scale / (d_in as f64).sqrt()) }
    }

    /// # Shapes
    /// - `x`: `[N, d_in]`, sorted by group; returns `[N, d_out]`
    pub fn forward(&self, x: Tensor<2>, groups: &RowGroups) -> Tensor<2> {
        grouped_product(x, self.weight.val(), groups)
    }
}

/// `x W_g` for the rows of every group, the factors in the precision of the step ([`crate::with_precision`]), the result in
/// the type of `x`.
///
/// # Shapes
/// - `x`: `[N, d_in]`, sorted by group, `weight`: `[G, d_in, d_out]`; returns `[N, d_out]`
pub fn grouped_product(x: Tensor<2>, weight: Tensor<3>, groups: &RowGroups) -> Tensor<2> {
    match place_of(&x) {
        Place::Reference => reference(x, weight, groups),
        #[cfg(feature = "gpu")]
        Place::Gpu => in_blocks(x, weight, groups),
        Place::Cpu => on_cpu(x, weight, groups),
    }
}

fn on_cpu(x: Tensor<2>, weight: Tensor<3>, groups: &RowGroups) -> Tensor<2> {
    let ([rows, _], [count, _, _]) = (x.dims(), weight.dims());
    let ends = match groups {
        RowGroups::Equal => (1..=count).map(|group| group * (rows / count)).collect(),
        // The memory of the CPU is the host's.
        RowGroups::Ends(ends) => ends.clone().into_data().iter::<i64>().map(|end| end as usize).collect(),
    };
    let form = GroupedForm { ends, arithmetic: crate::precision::arithmetic() };
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(<Dispatch as GroupedLinearCpu>::grouped_linear(x, weight, form))
}
