//! A layer of which the gradient tape keeps what goes into it alone ([`interfuse_kernels::checkpointing`]): the streams, what
//! they are conditioned on, and the layer's weights. Where rows stand and what they see are shared by all layers.

use burn::module::Param;
use burn::tensor::Tensor;
use interfuse_kernels::{AnyTensor, checkpointed};
use interfuse_parameters::{ParameterInfo, ParameterMapper, map_parameters};

use crate::adaptive::StreamCondition;
use crate::layer::{Layer, LayerOutput};
use crate::rows::Rows;
use crate::stream::Stream;

/// What goes into a layer and may have a gradient.
#[derive(Clone, Debug)]
struct LayerInput {
    layer: Layer,
    streams: Vec<Option<Stream>>,
    conditions: Vec<Option<StreamCondition>>,
}

/// [`Layer::forward`] without a cache. The streams come out with all that was added, because one tensor is kept of a stream
/// that way, and not two.
pub(crate) fn forward(layer: &Layer, streams: Vec<Option<Stream>>, rows: &Rows) -> LayerOutput {
    let input = LayerInput { layer: layer.clone(), streams, conditions: rows.conditions.clone() };
    let mut arguments = vec![];
    // What is kept of the input besides must not hold on to the tape.
    let constants = input.map(&mut |tensor| {
        let constant = tensor.as_constant();
        arguments.push(tensor);
        constant
    });
    let rows = Rows { conditions: vec![], ..rows.clone() };
    let compute = move |arguments: Vec<AnyTensor>| {
        let mut arguments = arguments.into_iter();
        let input = constants.clone().map(&mut |constant| arguments.next().unwrap_or(constant));
        let rows = Rows { conditions: input.conditions, ..rows.clone() };
        let output = input.layer.forward(input.streams, &rows, None);
        let mut results = vec![];
        let output = mapped(output, &mut |tensor| {
            results.push(tensor.clone());
            tensor
        });
        (results, output)
    };
    let (results, output) = checkpointed(arguments, compute);
    let mut results = results.into_iter();
    mapped(output, &mut |constant| results.next().unwrap_or(constant))
}

impl LayerInput {
    /// With other tensors in the places of those that may have a gradient: the weights, then of each part its stream and what that
    /// is conditioned on. The backward pass comes to the last of them first, as it does in a layer whose parts it comes to by
    /// the values that are joined last; so the gradients of a condition, which all layers have, are added up in the same order.
    fn map(self, f: &mut dyn FnMut(AnyTensor) -> AnyTensor) -> Self {
        struct Weights<'a>(&'a mut dyn FnMut(AnyTensor) -> AnyTensor);
        impl ParameterMapper for Weights<'_> {
            fn map<const R: usize>(&mut self, _: &ParameterInfo, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
                let id = param.id;
                Param::initialized(id, other(self.0, param.into_value()))
            }
        }
        let layer = map_parameters(self.layer, &mut Weights(f));
        let of_part = |(stream, condition): (Option<Stream>, Option<StreamCondition>)| {
            let stream = stream.map(|stream| Stream::new(other(f, stream.joined())));
            let condition = condition.map(|StreamCondition { lanes }| {
                let lanes = lanes.into_iter().map(|(rows, lane)| (rows, lane.map(|lane| other(f, lane))));
                StreamCondition { lanes: lanes.collect() }
            });
            (stream, condition)
        };
        let (streams, conditions) = self.streams.into_iter().zip(self.conditions).map(of_part).unzip();
        Self { layer, streams, conditions }
    }
}

/// With other tensors in the places of those that may have a gradient.
fn mapped(output: LayerOutput, f: &mut dyn FnMut(AnyTensor) -> AnyTensor) -> LayerOutput {
    let streams = output.streams.into_iter().map(|stream| Some(Stream::new(other(f, stream?.joined())))).collect();
    let routers = output.routers.into_iter().map(|router| {
        let mut router = router?;
        router.probabilities = other(f, router.probabilities);
        router.squared_log_sum = other(f, router.squared_log_sum);
        Some(router)
    });
    LayerOutput { streams, routers: routers.collect(), seen: output.seen }
}

fn other<const R: usize>(f: &mut dyn FnMut(AnyTensor) -> AnyTensor, tensor: Tensor<R>) -> Tensor<R> {
    f(tensor.into()).into_tensor()
}
