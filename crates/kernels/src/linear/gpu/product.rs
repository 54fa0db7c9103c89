//! Matrix products in the precision of the step.
//!
//! `compute` is the type that the factors are cast to before they meet: the framework's product reads its right operand in the
//! type of the left one and does not check, so here, and nowhere else, both are made alike. Sums are `f32` in every case.
//! On CUDA, large products and those of 32 bits go to NVIDIA's library (`cublas.rs`); of the others, those of 16 bits go to
//! [`kernel`], and the rest to the framework's product. Casting a weight while it is loaded was slower: every cube that needs
//! it then reads it in 32 bits.

use burn::backend::ops::FloatTensorOps;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::cast;
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use burn_cubecl::tensor::CubeTensor;

use super::kernel;
use super::plan::MatmulPlan;

/// `a · b` as `out`, the factors being `[M, K]` and `[K, N]`.
pub(super) fn product(a: CubeTensor, b: CubeTensor, compute: DType, out: DType) -> CubeTensor {
    let (a, b) = (cast(a, compute), cast(b, compute));
    #[cfg(feature = "cuda")]
    if let Some(y) = super::cublas::product(&a, &b, out) {
        return y;
    }
    if let Some(plan) = MatmulPlan::new(&a, &b, compute) {
        return kernel::product(a, b, out, plan);
    }
    matmul(a, b, None, MatmulStrategy::default(), out).expect("a product of matrices that fit")
}

/// `onto + a · b`, of the type of `onto` and in its place where nobody else holds it.
pub(super) fn product_onto(onto: CubeTensor, a: CubeTensor, b: CubeTensor, compute: DType) -> CubeTensor {
    let (a, b) = (cast(a, compute), cast(b, compute));
    let out = onto.dtype;
    #[cfg(feature = "cuda")]
    let onto = match super::cublas::product_onto(onto, &a, &b) {
        Ok(sum) => return sum,
        Err(onto) => onto,
    };
    CubeBackend::float_add(product(a, b, compute, out), onto)
}

/// `[M, N]` as `[N, M]`, without a copy.
pub(super) fn transposed(x: CubeTensor) -> CubeTensor {
    CubeBackend::float_swap_dims(x, 0, 1)
}
