//! Molecules as SMILES: tokens, validity without a toolkit of chemistry, uniqueness and novelty.

mod kekulization;
mod matching;
mod metrics;
mod parse;
mod tokens;
mod valence;

pub use metrics::{MoleculeMetrics, molecule_metrics};
pub use parse::SmilesFault;
pub use tokens::{characters, merged_tokens};

/// The longest SMILES that is looked at, in bytes.
pub const LONGEST: usize = 4096;

/// Checks that a SMILES stands for a molecule: its syntax with branches and rings, the valences of its atoms, and that
/// its aromatic rings have a pattern of single and double bonds.
///
/// It accepts what RDKit's `MolFromSmiles` accepts, but for rare cases: mostly triple bonds in aromatic rings, which
/// RDKit takes, and sulfur in them with a double bond that is written.
///
/// # Errors
/// The first fault that is found.
pub fn check_smiles(smiles: &str) -> Result<(), SmilesFault> {
    let molecule = parse::molecule(smiles)?;
    valence::check(&molecule)?;
    kekulization::check(&molecule)
}
