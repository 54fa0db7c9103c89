//! Whether every atom can have the bonds that it has.
//!
//! An ion has the valences of the element with as many electrons: N⁺ those of carbon, O⁻ those of fluorine.

use super::parse::{Molecule, Order, SmilesFault};

const NITROGEN: u8 = 7;
const OXYGEN: u8 = 8;
const HALOGENS: [u8; 3] = [17, 35, 53];

/// The valences of an element by its number of electrons in rising order; none where any will do.
pub(super) fn valences(electrons: i32) -> &'static [u32] {
    match electrons {
        ..=0 | 2 | 10 | 18 | 36 | 86 => &[0],
        1 | 9 | 17 | 35 | 55 | 87 => &[1],
        4 | 8 => &[2],
        5 | 7 | 13 | 31 | 49 => &[3],
        6 | 14 | 32 => &[4],
        15 | 33 | 51 | 83 => &[3, 5],
        16 | 34 | 52 | 84 => &[2, 4, 6],
        50 | 82 => &[2, 4],
        53 | 85 => &[1, 3, 5],
        54 => &[0, 2, 4, 6],
        _ => &[],
    }
}

/// The valences of an atom with its charge.
pub(super) fn valences_of(molecule: &Molecule, atom: usize) -> &'static [u32] {
    let atom = &molecule.atoms[atom];
    if atom.element == 0 { &[] } else { valences(i32::from(atom.element) - atom.charge) }
}

/// The sum of an atom's bonds, aromatic ones as single, and of the hydrogens that are written.
pub(super) fn written(molecule: &Molecule, atom: usize) -> u32 {
    let bonds: u32 = molecule.bonds_of[atom].iter().map(|&bond| molecule.order(&molecule.bonds[bond])).sum();
    bonds.saturating_add(molecule.atoms[atom].hydrogens.unwrap_or(0))
}

pub(super) fn check(molecule: &Molecule) -> Result<(), SmilesFault> {
    for atom in 0..molecule.atoms.len() {
        let (found, valences) = (written(molecule, atom), valences_of(molecule, atom));
        let Some(&most) = valences.last() else { continue };
        if exceeds(molecule, atom, most) && !is_charge_left_out(molecule, atom, found) {
            return Err(SmilesFault::Valence { atom, found });
        }
    }
    Ok(())
}

/// Whether the bonds and hydrogens of an atom are more than it can have.
///
/// Aromatic bonds count as single. Counted as one and a half, as RDKit does, they may exceed the valence by as much; it
/// does not count them as single too, and so takes an aromatic ring with a triple bond, whose carbon would have five
/// bonds.
fn exceeds(molecule: &Molecule, atom: usize, most: u32) -> bool {
    let found = written(molecule, atom);
    let aromatic = molecule.bonds_of[atom].iter().filter(|&&bond| molecule.is_aromatic(&molecule.bonds[bond])).count();
    let doubled = found.saturating_mul(2).saturating_add(aromatic as u32);
    found > most || (aromatic > 0 && doubled > 2 * most + 3)
}

/// Whether an atom is the nitrogen of an N-oxide without its charges: `n(=O)` in an aromatic ring.
pub(super) fn is_oxide(molecule: &Molecule, atom: usize) -> bool {
    let this = &molecule.atoms[atom];
    let oxide = this.aromatic && this.element == NITROGEN && this.charge == 0 && written(molecule, atom) == 4;
    oxide && is_bound_to(molecule, atom, 2, OXYGEN)
}

/// Whether a bond of an order leads from an atom to a neutral one of an element.
fn is_bound_to(molecule: &Molecule, atom: usize, order: u8, element: u8) -> bool {
    molecule.bonds_of[atom].iter().any(|&bond| {
        let other = &molecule.atoms[molecule.other_end(bond, atom)];
        molecule.bonds[bond].order == Order::Whole(order) && other.element == element && other.charge == 0
    })
}

/// Whether an atom without a charge is a usual spelling of one with: `N(=O)=O` of nitro groups, `Cl(=O)(=O)(=O)O` of
/// perchloric acid.
fn is_charge_left_out(molecule: &Molecule, atom: usize, found: u32) -> bool {
    let this = &molecule.atoms[atom];
    let to = |order, element| is_bound_to(molecule, atom, order, element);
    match this.element {
        _ if this.charge != 0 => false,
        NITROGEN if this.aromatic => is_oxide(molecule, atom),
        NITROGEN => found == 5 && (to(2, OXYGEN) || to(3, NITROGEN)),
        element if HALOGENS.contains(&element) => matches!(found, 3 | 5 | 7) && to(2, OXYGEN),
        _ => false,
    }
}
