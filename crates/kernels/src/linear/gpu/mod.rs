//! The linear map on GPUs: what it is to Burn's backend and to the gradient tape.
//!
//! | file | what |
//! |---|---|
//! | [`maps`] | several maps of the same rows as one operation |
//! | [`mod@product`] | a product of matrices, by the kernel or by the framework |
//! | `cublas` | the same by NVIDIA's library, on CUDA |
//! | [`plan`] | tile and fragment sizes on a device |
//! | [`kernel`] | the kernel for tensor cores |

#![allow(unsafe_code)] // Launches; see [`crate::gpu`].

#[cfg(feature = "cuda")]
mod cublas;
mod kernel;
mod maps;
mod plan;
mod product;

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, backend_extension};
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::cast;
use burn_cubecl::tensor::CubeTensor;

use self::product::{product, product_onto, transposed};
use crate::tape::list::TensorList;

/// The products on GPUs, off the gradient tape, the factors cast to `compute`.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub(crate) trait LinearKernels: Backend {
    /// `x W`, of the type of `x`.
    #[fusion(dtype = x, shape = [x[0], weight[1]].into())]
    fn product(x: FloatTensor<Self>, weight: FloatTensor<Self>, compute: DType) -> FloatTensor<Self>;
    /// `dy Wᵀ`, of the type of `dy`.
    #[fusion(dtype = dy, shape = [dy[0], weight[0]].into())]
    fn product_dx(dy: FloatTensor<Self>, weight: FloatTensor<Self>, compute: DType) -> FloatTensor<Self>;
    /// `xᵀ dy`, in `f32`.
    #[fusion(dtype = DType::F32, shape = [x[1], dy[1]].into())]
    fn product_dw(x: FloatTensor<Self>, dy: FloatTensor<Self>, compute: DType) -> FloatTensor<Self>;
    /// `x W` of each weight.
    #[fusion(meta = |x, weights, _compute| {
        weights.iter().map(|weight| TensorSpec::new([x.shape[0], weight.shape[1]].into(), x.dtype)).collect::<Vec<_>>()
    })]
    fn products(x: FloatTensor<Self>, #[extension_type] weights: TensorList<Self>, compute: DType) -> TensorList<Self>;
    /// `Σ dy Wᵀ`, of the type of the `dy`s.
    #[fusion(meta = |dys, weights, _compute| TensorSpec::new([dys[0].shape[0], weights[0].shape[0]].into(), dys[0].dtype))]
    fn products_dx(
        #[extension_type] dys: TensorList<Self>,
        #[extension_type] weights: TensorList<Self>,
        compute: DType,
    ) -> FloatTensor<Self>;
    /// `xᵀ dy` of each, in `f32`.
    #[fusion(meta = |x, dys, _compute| {
        dys.iter().map(|dy| TensorSpec::new([x.shape[1], dy.shape[1]].into(), DType::F32)).collect::<Vec<_>>()
    })]
    fn products_dw(x: FloatTensor<Self>, #[extension_type] dys: TensorList<Self>, compute: DType) -> TensorList<Self>;
}

impl LinearKernels for CubeBackend {
    fn product(x: CubeTensor, weight: CubeTensor, compute: DType) -> CubeTensor {
        let out = x.dtype;
        product(x, weight, compute, out)
    }

    fn product_dx(dy: CubeTensor, weight: CubeTensor, compute: DType) -> CubeTensor {
        let out = dy.dtype;
        product(dy, transposed(weight), compute, out)
    }

    fn product_dw(x: CubeTensor, dy: CubeTensor, compute: DType) -> CubeTensor {
        product(transposed(x), dy, compute, DType::F32)
    }

    fn products(x: CubeTensor, weights: TensorList<Self>, compute: DType) -> TensorList<Self> {
        let out = x.dtype;
        let x = cast(x, compute);
        TensorList(weights.0.into_iter().map(|weight| product(x.clone(), weight, compute, out)).collect())
    }

    fn products_dx(dys: TensorList<Self>, weights: TensorList<Self>, compute: DType) -> CubeTensor {
        let mut pairs = dys.0.into_iter().zip(weights.0);
        let (dy, weight) = pairs.next().expect("the gradient of at least one result");
        let out = dy.dtype;
        let first = product(dy, transposed(weight), compute, out);
        pairs.fold(first, |sum, (dy, weight)| product_onto(sum, dy, transposed(weight), compute))
    }

    fn products_dw(x: CubeTensor, dys: TensorList<Self>, compute: DType) -> TensorList<Self> {
        let x = transposed(cast(x, compute));
        TensorList(dys.0.into_iter().map(|dy| product(x.clone(), dy, compute, DType::F32)).collect())
    }
}

/// The operation on GPUs, on the gradient tape and off it.
#[backend_extension(Autodiff, Cube)]
pub(crate) trait LinearGpu: Backend {
    /// `x W`, the factors cast to `compute`; see [`crate::linear::product`].
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, compute: DType) -> FloatTensor<Self>;
    /// See [`crate::linear::products`].
    fn linear_maps(
        x: FloatTensor<Self>,
        #[extension_type] weights: TensorList<Self>,
        compute: DType,
    ) -> TensorList<Self>;
}

impl LinearGpu for Cube {
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, compute: DType) -> FloatTensor<Self> {
        Self::product(x, weight, compute)
    }

    fn linear_maps(x: FloatTensor<Self>, weights: TensorList<Self>, compute: DType) -> TensorList<Self> {
        Self::products(x, weights, compute)
    }
}

impl<B: LinearKernels, C: CheckpointStrategy> LinearGpu for Autodiff<B, C> {
    fn linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, compute: DType) -> FloatTensor<Self> {
        let (x_tracked, weight_tracked) = (x.is_tracked(), weight.is_tracked());
        match LinearBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let kept_x = weight_tracked.then(|| prep.checkpoint(&x));
                let kept_weight = x_tracked.then(|| prep.checkpoint(&weight));
                let y = B::product(x.into_primitive(), weight.into_primitive(), compute);
                prep.finish((kept_x, kept_weight, compute), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::product(x.into_primitive(), weight.into_primitive(), compute)),
        }
    }

    fn linear_maps(x: FloatTensor<Self>, weights: TensorList<Self>, compute: DType) -> TensorList<Self> {
        match weights.0.len() {
            2 => maps::on_tape::<B, C, 3>(x, weights.0, compute),
            3 => maps::on_tape::<B, C, 4>(x, weights.0, compute),
            _ => {
                let maps = weights.0.into_iter().map(|weight| Self::linear(x.clone(), weight, compute));
                TensorList(maps.collect())
            }
        }
    }
}

#[derive(Debug)]
struct LinearBackward;

impl<B: LinearKernels> Backward<B, 2> for LinearBackward {
    /// `x` if the weight needs a gradient, the weight if `x` does, and the type of the factors.
    type State = (Option<NodeId>, Option<NodeId>, DType);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents.map(|parent| parent.map(|node| node.id));
        let (x, weight, compute) = ops.state;
        let dy = grads.consume::<B>(&ops.node);
        if let (Some(node), Some(weight)) = (x_node, weight) {
            let weight = checkpointer.retrieve_node_output(weight);
            grads.register::<B>(node, B::product_dx(dy.clone(), weight, compute));
        }
        if let (Some(node), Some(x)) = (weight_node, x) {
            let x = checkpointer.retrieve_node_output(x);
            grads.register::<B>(node, B::product_dw(x, dy, compute));
        }
    }
}
