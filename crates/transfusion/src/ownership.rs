//! Which part of the model owns a weight, by the weight's name.

use burn::module::Module;
use interfuse_parameters::{ParameterInfo, parameters};

/// Whether a weight belongs to the backbone; otherwise it is part of an embedding or a head.
pub fn in_backbone(weight: &ParameterInfo) -> bool {
    weight.name.starts_with("backbone.")
}

/// The name of the part that owns a weight, if it lies in the backbone; the names of all parts, joined by `+`, where they
/// have it in common.
pub fn part_of(weight: &ParameterInfo) -> Option<&str> {
    let mut path = weight.name.split('.').skip_while(|step| *step != "parts" && *step != "final_norms");
    path.next()?;
    path.next()
}

/// The name of the tower that owns a weight, if it lies in one.
pub fn tower_of(weight: &ParameterInfo) -> Option<&str> {
    weight.name.strip_prefix("towers.")?.split('.').next()
}

/// The owners of the backbone's weights by name: the parts, and all of them together for what they have in common.
pub fn owners(model: &impl Module) -> Vec<String> {
    let mut names: Vec<String> = vec![];
    for weight in parameters(model) {
        if let Some(name) = part_of(&weight).filter(|name| !names.iter().any(|known| known == name)) {
            names.push(name.into());
        }
    }
    names
}
