//! A model's weights as a flat list of named tensors: what an optimizer, a checkpoint and a count visit.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;

/// What is known of a weight besides its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterInfo {
    /// Dotted path, as in a checkpoint.
    pub name: String,
    /// Identity in the module.
    pub id: ParamId,
    /// Sizes, as the module holds them.
    pub shape: Vec<usize>,
    /// Whether it is the matrix `[d_in, d_out]` of a struct named `Linear`, or the matrices `[groups, d_in, d_out]` of one named
    /// `GroupedLinear`: PyTorch stores them transposed.
    pub is_linear: bool,
    /// Whether it is of a struct named `Codebook`, whose rows are places that vectors are compared with.
    pub is_codebook: bool,
}

impl ParameterInfo {
    /// Number of elements.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Matrices decay; norms and biases do not, nor do codes, which decay would draw away from the vectors they stand for.
    pub fn decays(&self) -> bool {
        self.shape.len() >= 2 && !self.is_codebook
    }
}

/// All weights, in the order in which the module holds them.
pub fn parameters(model: &impl Module) -> Vec<ParameterInfo> {
    struct List(Vec<ParameterInfo>);
    impl ParameterVisitor for List {
        fn visit<const R: usize>(&mut self, info: &ParameterInfo, _: &Param<Tensor<R>>) {
            self.0.push(info.clone());
        }
    }
    let mut list = List(vec![]);
    visit_parameters(model, &mut list);
    list.0
}

/// Visits the value of every weight with what is known of it.
pub trait ParameterVisitor {
    /// Called once for each weight.
    fn visit<const R: usize>(&mut self, info: &ParameterInfo, param: &Param<Tensor<R>>);
}

/// Replaces the value of every weight.
pub trait ParameterMapper {
    /// Called once for each weight; returns what takes its place.
    fn map<const R: usize>(&mut self, info: &ParameterInfo, param: Param<Tensor<R>>) -> Param<Tensor<R>>;
}

/// Walks over all weights.
pub fn visit_parameters(model: &impl Module, visitor: &mut impl ParameterVisitor) {
    model.visit(&mut Walk { path: Path::default(), inner: visitor });
}

/// Makes a model of other weights.
pub fn map_parameters<M: Module>(model: M, mapper: &mut impl ParameterMapper) -> M {
    model.map(&mut Walk { path: Path::default(), inner: mapper })
}

/// Where a visit stands, and what it carries.
struct Walk<'a, T> {
    path: Path,
    inner: &'a mut T,
}

impl<T> Walk<'_, T> {
    fn info<const R: usize>(&self, param: &Param<Tensor<R>>) -> ParameterInfo {
        ParameterInfo {
            name: self.path.name(),
            id: param.id,
            shape: param.lazy_shape().to_vec(),
            is_linear: self.path.is_in(Structure::Linear) && R >= 2,
            is_codebook: self.path.is_in(Structure::Codebook),
        }
    }
}

impl<T: ParameterVisitor> ModuleVisitor for Walk<'_, T> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const R: usize>(&mut self, param: &Param<Tensor<R>>) {
        let info = self.info(param);
        self.inner.visit(&info, param);
    }
}

impl<T: ParameterMapper> ModuleMapper for Walk<'_, T> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const R: usize>(&mut self, param: Param<Tensor<R>>) -> Param<Tensor<R>> {
        let info = self.info(&param);
        self.inner.map(&info, param)
    }
}

/// The modules that a visit is inside of.
#[derive(Default)]
struct Path {
    modules: Vec<PathPart>,
}

struct PathPart {
    name: String,
    /// What the part is a field of.
    container: Structure,
}

/// The containers of parts that matter here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Structure {
    /// A struct named `Linear` or `GroupedLinear`.
    Linear,
    /// A struct named `Codebook`.
    Codebook,
    /// An enum; its variants are no part of a weight's name.
    Enum,
    Other,
}

impl Path {
    /// Burn names a container `Struct:Linear`, `Enum:Tower` or `Vec`.
    fn enter(&mut self, name: &str, container: &str) {
        self.modules.push(PathPart {
            name: name.to_string(),
            container: match container {
                "Struct:Linear" | "Struct:GroupedLinear" => Structure::Linear,
                "Struct:Codebook" => Structure::Codebook,
                _ if container.starts_with("Enum:") => Structure::Enum,
                _ => Structure::Other,
            },
        });
    }

    fn exit(&mut self) {
        self.modules.pop();
    }

    fn name(&self) -> String {
        let named = self.modules.iter().filter(|part| part.container != Structure::Enum);
        named.map(|part| part.name.as_str()).collect::<Vec<_>>().join(".")
    }

    fn is_in(&self, structure: Structure) -> bool {
        self.modules.iter().any(|part| part.container == structure)
    }
}
