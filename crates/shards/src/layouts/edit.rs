//! An image, an instruction and the image that it leads to, as InstructPix2Pix has them (Brooks et al., 2023).

use serde::{Deserialize, Serialize};

use super::{Shape, Source, owned, trimmed};
use crate::error::ShardError;
use crate::example::{Example, Part};

/// Fields of an edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EditLayout {
    /// The image before: the first of these fields that is there.
    pub original: Vec<String>,
    /// The instruction: the first of these fields that is there.
    pub instruction: Vec<String>,
    /// The image after: the first of these fields that is there.
    pub edited: Vec<String>,
}

impl Default for EditLayout {
    fn default() -> Self {
        let member =
            |name: &str| [name.to_string(), format!("{name}.jpg"), format!("{name}.png"), format!("{name}.webp")];
        let members = |names: [&str; 3]| names.iter().flat_map(|name| member(name)).collect();
        Self {
            original: members(["original_image", "original", "input"]),
            instruction: owned(["edit_prompt", "edit", "instruction", "edit_prompt.txt", "edit.txt", "txt"]),
            edited: members(["edited_image", "edited", "output"]),
        }
    }
}

impl Shape for EditLayout {
    fn fields(&self) -> (Vec<Vec<String>>, Vec<String>) {
        (vec![self.original.clone(), self.instruction.clone(), self.edited.clone()], vec![])
    }

    fn fill(&self, source: &mut Source<'_>, example: &mut Example) -> Result<(), ShardError> {
        let instruction = source.required(&self.instruction)?;
        let instruction = trimmed(source.text("the instruction", instruction)?);
        if instruction.is_empty() {
            return Err(source.malformed("an instruction that is not blank", "a blank one"));
        }
        let mut image = |names: &[String], which: &str, place| {
            let value = source.required(names)?;
            let image = source.image(value, place)?;
            image.map(Part::Image).ok_or_else(|| source.malformed(format!("bytes of the {which} image"), "none"))
        };
        let original = image(&self.original, "original", 0)?;
        let edited = image(&self.edited, "edited", 1)?;
        example.parts = vec![original, Part::Text(instruction), edited];
        Ok(())
    }
}
