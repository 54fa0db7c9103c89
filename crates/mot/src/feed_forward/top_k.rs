//! Token choice: every row goes to its `k` most probable experts, however many others do (Switch, 2101.03961, equation 2 for
//! k = 1; without dropping, as in MegaBlocks, 2211.15841).
//!
//! Dimensions: `B` sequences, `S` rows of the part's stream, `E` experts, `A = B · S · k` choices.
//!
//! ```text
//! p = softmax(x W)        gate_e = p_e, or p_e / Σ_{chosen} p
//! ```
//!
//! Choices are sorted by expert by counting: how many choices before one are of the same expert is a running sum.

use burn::tensor::{IndexingUpdateOp, Int, Tensor};
use interfuse_kernels::RowGroups;

use super::moe::Places;

/// The experts that each row goes to.
///
/// # Shapes
/// - `probabilities`: of each row, over experts. `[B, S, E]`
/// - `filled`: 1 for a row, 0 for padding. `[B, S]`
pub(super) fn places(probabilities: &Tensor<3>, filled: &Tensor<2>, k: usize, normalizes: bool) -> Places {
    let [batch, rows, experts] = probabilities.dims();
    let total = batch * rows * k;
    let chosen = choose(probabilities, k);
    let gates = probabilities.clone().gather(2, chosen.clone());
    let gates = match normalizes {
        true => gates.clone() / gates.sum_dim(2),
        false => gates,
    };
    let gates = gates * filled.clone().unsqueeze_dim::<3>(2);
    // Padding goes to an expert that is none, behind all others.
    let padding = filled.clone().equal_elem(0.0).unsqueeze_dim::<3>(2).expand([batch, rows, k]);
    let chosen = chosen.mask_fill(padding, experts as i64).reshape([total]);
    let Sorted { choices, ends, member } = sort(chosen, experts);
    Places {
        rows: choices.clone().div_scalar(k as i64),
        gates: gates.reshape([total]).select(0, choices),
        groups: RowGroups::Ends(ends),
        taken: member.float().reshape([batch, rows * k, experts]).sum_dim(1).reshape([batch, experts]),
    }
}

/// The `k` most probable experts of each row; of equal ones any. `[B, S, k]`
fn choose(probabilities: &Tensor<3>, k: usize) -> Tensor<3, Int> {
    let shape = probabilities.dims();
    let expert = Tensor::<1, Int>::arange(0..shape[2] as i64, &probabilities.device()).reshape([1, 1, shape[2]]);
    let mut left = probabilities.clone().detach();
    let mut chosen = Vec::with_capacity(k);
    for _ in 0..k {
        let best = left.clone().argmax(2);
        let is_best = expert.clone().expand(shape).equal(best.clone().expand(shape));
        left = left.mask_fill(is_best, -1.0);
        chosen.push(best);
    }
    Tensor::cat(chosen, 2)
}

struct Sorted {
    /// The choice at each place. `[A]`
    choices: Tensor<1, Int>,
    /// One past the last place of each expert. `[E]`
    ends: Tensor<1, Int>,
    /// 1 where a choice is of an expert, else 0. `[A, E]`
    member: Tensor<2, Int>,
}

/// Sorts choices by expert; those of the expert `E`, which is none, come last.
fn sort(chosen: Tensor<1, Int>, experts: usize) -> Sorted {
    let ([total], device) = (chosen.dims(), chosen.device());
    let shape = [total, experts + 1];
    let expert = Tensor::<1, Int>::arange(0..shape[1] as i64, &device).unsqueeze::<2>().expand(shape);
    let member = chosen.clone().unsqueeze_dim::<2>(1).expand(shape).equal(expert).int();
    let running = member.clone().cumsum(0);
    let counts = running.clone().narrow(0, total - 1, 1);
    let ends = counts.clone().cumsum(1);
    // Where the choices of each expert begin, and how many of the same expert are before this one.
    let place = running.add(ends.clone() - counts).sub_scalar(1);
    let place = (place * member.clone()).sum_dim(1).reshape([total]);
    let all = Tensor::<1, Int>::arange(0..total as i64, &device);
    Sorted {
        choices: all.zeros_like().select_assign(0, place, all, IndexingUpdateOp::Add),
        ends: ends.narrow(1, 0, experts).reshape([experts]),
        member: member.narrow(1, 0, experts),
    }
}
