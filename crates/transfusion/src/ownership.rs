//! Which part of the model owns a weight, by the weight's name.

use interfuse_parameters::ParameterInfo;

/// Whether a weight belongs to the backbone; otherwise it is part of an embedding or a head.
pub fn in_backbone(weight: &ParameterInfo) -> bool {
    weight.name.starts_with("backbone.")
}

/// The part that owns a weight, if it lies in the backbone.
pub fn part_of(weight: &ParameterInfo) -> Option<usize> {
    let mut parts = weight.name.split('.').skip_while(|part| *part != "parts" && *part != "final_norms");
    parts.next()?;
    parts.next()?.parse().ok()
}

/// The lane whose tower owns a weight, if it lies in a tower.
pub fn tower_of(weight: &ParameterInfo) -> Option<usize> {
    weight.name.strip_prefix("towers.")?.split('.').next()?.parse().ok()
}
