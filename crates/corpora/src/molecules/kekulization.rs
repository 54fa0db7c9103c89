//! Whether the aromatic atoms of a molecule can have single and double bonds in turn (Kekulé's pattern).
//!
//! An aromatic atom takes one double bond where its valence leaves room for one. The pattern exists where the atoms
//! that do can be paired along aromatic bonds of rings: a perfect matching of a general graph.

use super::matching::maximum_matching;
use super::parse::{Molecule, SmilesFault};
use super::valence::{is_oxide, valences_of, written};

const CARBON: u8 = 6;

pub(super) fn check(molecule: &Molecule) -> Result<(), SmilesFault> {
    if molecule.atoms.iter().all(|atom| !atom.aromatic) {
        return Ok(());
    }
    let in_ring = ring_bonds(molecule);
    for (number, atom) in molecule.atoms.iter().enumerate() {
        if atom.aromatic && !molecule.bonds_of[number].iter().any(|&bond| in_ring[bond]) {
            return Err(SmilesFault::NotInRing(number));
        }
    }
    let takes: Vec<bool> = (0..molecule.atoms.len()).map(|atom| takes_double_bond(molecule, atom, &in_ring)).collect();
    let mut neighbors = vec![vec![]; molecule.atoms.len()];
    for (number, bond) in molecule.bonds.iter().enumerate() {
        let [a, b] = bond.atoms;
        if in_ring[number] && molecule.is_aromatic(bond) && takes[a] && takes[b] {
            neighbors[a].push(b);
            neighbors[b].push(a);
        }
    }
    let partners = maximum_matching(&neighbors);
    match (0..takes.len()).all(|atom| !takes[atom] || partners[atom].is_some()) {
        true => Ok(()),
        false => Err(SmilesFault::Kekulization),
    }
}

/// Whether an aromatic atom has room for a double bond beside what is written. Carbon without brackets has the hydrogen
/// that its aromatic bonds leave room for.
fn takes_double_bond(molecule: &Molecule, number: usize, in_ring: &[bool]) -> bool {
    let atom = &molecule.atoms[number];
    if !atom.aromatic {
        return false;
    }
    let aromatic = |bond: &&usize| in_ring[**bond] && molecule.is_aromatic(&molecule.bonds[**bond]);
    let has_aromatic = molecule.bonds_of[number].iter().any(|bond| aromatic(&bond));
    let mut sum = written(molecule, number);
    if atom.element == CARBON && atom.hydrogens.is_none() && has_aromatic {
        sum = sum.max(3);
    }
    if is_oxide(molecule, number) {
        return true;
    }
    has_aromatic
        && valences_of(molecule, number).iter().find(|valence| **valence >= sum).is_some_and(|valence| *valence > sum)
}

/// Which bonds lie in a ring: those that are no bridge, by a search in depth without recursion (Tarjan 1974).
fn ring_bonds(molecule: &Molecule) -> Vec<bool> {
    let count = molecule.atoms.len();
    let mut in_ring = vec![true; molecule.bonds.len()];
    let (mut entered, mut lowest) = (vec![usize::MAX; count], vec![usize::MAX; count]);
    let mut time = 0;
    for root in 0..count {
        if entered[root] != usize::MAX {
            continue;
        }
        (entered[root], lowest[root]) = (time, time);
        time += 1;
        // An atom, the bond that led to it, and which of its bonds comes next.
        let mut path: Vec<(usize, Option<usize>, usize)> = vec![(root, None, 0)];
        while let Some((atom, led, next)) = path.last_mut() {
            let (atom, led) = (*atom, *led);
            let Some(&bond) = molecule.bonds_of[atom].get(*next) else {
                path.pop();
                if let (Some(bond), Some((before, ..))) = (led, path.last()) {
                    in_ring[bond] = lowest[atom] <= entered[*before];
                    lowest[*before] = lowest[*before].min(lowest[atom]);
                }
                continue;
            };
            *next += 1;
            let other = molecule.other_end(bond, atom);
            if Some(bond) == led {
                continue;
            }
            if entered[other] == usize::MAX {
                (entered[other], lowest[other]) = (time, time);
                time += 1;
                path.push((other, Some(bond), 0));
            } else {
                lowest[atom] = lowest[atom].min(entered[other]);
            }
        }
    }
    in_ring
}
