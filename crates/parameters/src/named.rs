//! Modules that are known by name: `towers.text.embedding` where a `Vec` would say `towers.1.embedding`.

use burn::module::{Content, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor};
use burn::tensor::Device;

/// Modules of one type, each with a name that is part of its weights' names. They keep the order in which they came.
#[derive(Clone, Debug)]
pub struct Named<M> {
    names: Vec<String>,
    modules: Vec<M>,
}

impl<M> Named<M> {
    /// The number of modules.
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// The modules, in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, M> {
        self.modules.iter()
    }

    /// The modules, to be changed.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, M> {
        self.modules.iter_mut()
    }

    /// The names, in the modules' order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The module of a name.
    pub fn get(&self, name: &str) -> Option<&M> {
        let place = self.names.iter().position(|known| known == name)?;
        self.modules.get(place)
    }

    /// The same names with what `f` makes of each module.
    fn each(self, f: impl FnMut(M) -> M) -> Self {
        Self { names: self.names, modules: self.modules.into_iter().map(f).collect() }
    }
}

impl<M> FromIterator<(String, M)> for Named<M> {
    fn from_iter<I: IntoIterator<Item = (String, M)>>(modules: I) -> Self {
        let (names, modules) = modules.into_iter().unzip();
        Self { names, modules }
    }
}

impl<M> std::ops::Index<usize> for Named<M> {
    type Output = M;

    fn index(&self, place: usize) -> &M {
        &self.modules[place]
    }
}

impl<M: Module + Send + Clone> Module for Named<M> {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        for (name, module) in self.names.iter().zip(&self.modules) {
            visitor.enter_module(name, "Named");
            module.visit(visitor);
            visitor.exit_module(name, "Named");
        }
    }

    fn map<T: ModuleMapper>(self, mapper: &mut T) -> Self {
        let mut names = self.names.clone().into_iter();
        self.each(|module| {
            let name = names.next().unwrap_or_default();
            mapper.enter_module(&name, "Named");
            let module = module.map(mapper);
            mapper.exit_module(&name, "Named");
            module
        })
    }

    fn to_device(self, device: &Device) -> Self {
        self.each(|module| module.to_device(device))
    }

    fn fork(self, device: &Device) -> Self {
        self.each(|module| module.fork(device))
    }

    fn collect_devices(&self, devices: Vec<Device>) -> Vec<Device> {
        self.modules.iter().fold(devices, |devices, module| module.collect_devices(devices))
    }

    fn valid(&self) -> Self {
        Self { names: self.names.clone(), modules: self.modules.iter().map(Module::valid).collect() }
    }

    fn train(self) -> Self {
        self.each(Module::train)
    }

    fn materialize(self) -> Self {
        self.each(Module::materialize)
    }
}

impl<M: ModuleDisplay> ModuleDisplayDefault for Named<M> {
    fn content(&self, content: Content) -> Option<Content> {
        let all = self.names.iter().zip(&self.modules);
        all.fold(content, |content, (name, module)| content.add(name, module)).optional()
    }
}

impl<M: ModuleDisplay> ModuleDisplay for Named<M> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{export_weights, parameters};
    use burn::module::Param;
    use burn::tensor::Tensor;

    #[derive(Module, Debug)]
    struct End {
        weight: Param<Tensor<1>>,
    }

    #[derive(Module, Debug)]
    struct Ends {
        towers: Named<End>,
    }

    #[test]
    fn weights_are_called_by_the_names_of_their_modules() {
        let end = |value: f32| End { weight: Param::from_tensor(Tensor::from_floats([value], &Device::flex())) };
        let model =
            Ends { towers: [("text".to_string(), end(1.0)), ("image".to_string(), end(2.0))].into_iter().collect() };
        let names: Vec<String> = parameters(&model).into_iter().map(|weight| weight.name).collect();
        assert_eq!(names, ["towers.text.weight", "towers.image.weight"]);
        let moved = model.clone().to_device(&Device::flex());
        assert_eq!(export_weights(&moved)["towers.image.weight"].values, [2.0]);
        assert!(model.towers.get("text").is_some() && model.towers.get("speech").is_none());
    }
}
