//! The syntax of SMILES (OpenSMILES 1.0) to a graph of atoms and bonds.
//!
//! Stereochemistry is read and forgotten. Where RDKit is more generous than the specification, so is this: a ring may
//! be closed with two different bonds, of which the first counts, and a ring number may follow a branch.

use std::collections::BTreeMap;

use super::LONGEST;

/// Why a string stands for no molecule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SmilesFault {
    /// The string is empty or too long to be looked at.
    #[error("expected 1 to {LONGEST} bytes, found {0}")]
    Length(usize),
    /// A character that may not stand where it stands.
    #[error("expected {expected} at place {place}")]
    Syntax {
        /// What may stand there.
        expected: &'static str,
        /// The place in bytes from 0.
        place: usize,
    },
    /// A ring that is not closed, or closes on its own atom or along a bond that is there already.
    #[error("ring {0} does not close between two atoms without a bond")]
    Ring(u32),
    /// An atom with more bonds than it can have.
    #[error("atom {atom} has the valence {found}, which its element has not")]
    Valence {
        /// The number of the atom from 0.
        atom: usize,
        /// The sum of the orders of its bonds and of its hydrogens.
        found: u32,
    },
    /// An aromatic atom outside of a ring.
    #[error("atom {0} is aromatic and in no ring")]
    NotInRing(usize),
    /// Aromatic atoms whose bonds cannot be single and double in turn.
    #[error("the aromatic rings have no pattern of single and double bonds")]
    Kekulization,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Single, or aromatic between two aromatic atoms.
    Elided,
    Aromatic,
    Whole(u8),
}

#[derive(Clone, Debug)]
pub(super) struct Atom {
    /// The atomic number; 0 is any element.
    pub(super) element: u8,
    pub(super) aromatic: bool,
    pub(super) charge: i32,
    /// Hydrogens of an atom in brackets; other atoms have as many as they need.
    pub(super) hydrogens: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Bond {
    pub(super) atoms: [usize; 2],
    pub(super) order: Order,
}

pub(super) struct Molecule {
    pub(super) atoms: Vec<Atom>,
    pub(super) bonds: Vec<Bond>,
    /// For each atom the numbers of its bonds.
    pub(super) bonds_of: Vec<Vec<usize>>,
}

impl Molecule {
    /// Whether a bond is aromatic, as far as its ends and its sign say.
    pub(super) fn is_aromatic(&self, bond: &Bond) -> bool {
        let between = bond.atoms.iter().all(|&atom| self.atoms[atom].aromatic);
        bond.order == Order::Aromatic || (bond.order == Order::Elided && between)
    }

    /// The order of a bond, where an aromatic one counts as single.
    pub(super) fn order(&self, bond: &Bond) -> u32 {
        match bond.order {
            Order::Whole(order) => u32::from(order),
            _ => 1,
        }
    }

    /// The atom at the other end of a bond.
    pub(super) fn other_end(&self, bond: usize, atom: usize) -> usize {
        let [a, b] = self.bonds[bond].atoms;
        if a == atom { b } else { a }
    }
}

/// Symbols of the elements in the order of their atomic numbers.
const ELEMENTS: [&str; 119] = [
    "*", "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K", "Ca",
    "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y",
    "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce",
    "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir",
    "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm",
    "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc",
    "Lv", "Ts", "Og",
];
/// Elements that need no brackets; those of two letters come first.
const ORGANIC: [&str; 10] = ["Cl", "Br", "B", "C", "N", "O", "P", "S", "F", "I"];
/// Aromatic elements that need no brackets.
const AROMATIC: [&str; 6] = ["b", "c", "n", "o", "p", "s"];
/// Aromatic elements in brackets; those of two letters come first.
const AROMATIC_IN_BRACKETS: [&str; 10] = ["se", "as", "te", "si", "b", "c", "n", "o", "p", "s"];

fn number_of(symbol: &str) -> u8 {
    ELEMENTS.iter().position(|known| known.eq_ignore_ascii_case(symbol)).unwrap_or(0) as u8
}

/// Reads a SMILES.
pub(super) fn molecule(smiles: &str) -> Result<Molecule, SmilesFault> {
    if smiles.is_empty() || smiles.len() > LONGEST {
        return Err(SmilesFault::Length(smiles.len()));
    }
    let molecule = Molecule { atoms: vec![], bonds: vec![], bonds_of: vec![] };
    let mut parser = Parser {
        text: smiles.as_bytes(),
        place: 0,
        molecule,
        before: None,
        bond: None,
        branches: vec![],
        rings: BTreeMap::new(),
        expects_atom: true,
        closes_rings: false,
    };
    while parser.place < parser.text.len() {
        parser.step()?;
    }
    parser.finish()
}

struct Parser<'a> {
    text: &'a [u8],
    place: usize,
    molecule: Molecule,
    /// The atom that the next one is bound to.
    before: Option<usize>,
    /// The sign of a bond that was read last.
    bond: Option<Order>,
    /// Atoms that open branches began at.
    branches: Vec<usize>,
    /// Open rings: their first atoms, and bonds where these were given.
    rings: BTreeMap<u32, (usize, Option<Order>)>,
    /// Whether an atom must follow.
    expects_atom: bool,
    /// Whether a ring number may follow: after an atom, a branch and other ring numbers.
    closes_rings: bool,
}

impl Parser<'_> {
    fn fault<T>(&self, expected: &'static str) -> Result<T, SmilesFault> {
        Err(SmilesFault::Syntax { expected, place: self.place })
    }

    fn peek(&self) -> u8 {
        self.text.get(self.place).copied().unwrap_or(0)
    }

    /// Takes the first of some words that stands here.
    fn take<'w>(&mut self, words: &[&'w str]) -> Option<&'w str> {
        let word = words.iter().find(|word| self.text[self.place..].starts_with(word.as_bytes()))?;
        self.place += word.len();
        Some(word)
    }

    fn step(&mut self) -> Result<(), SmilesFault> {
        match self.peek() {
            b'(' => {
                let Some(atom) = self.before.filter(|_| !self.expects_atom && self.bond.is_none()) else {
                    return self.fault("an atom before a branch");
                };
                self.place += 1;
                self.branches.push(atom);
                (self.expects_atom, self.closes_rings) = (true, false);
                Ok(())
            }
            b')' => {
                if self.expects_atom || self.bond.is_some() {
                    return self.fault("an atom");
                }
                let Some(atom) = self.branches.pop() else { return self.fault("a branch that is open") };
                self.place += 1;
                (self.before, self.closes_rings) = (Some(atom), true);
                Ok(())
            }
            b'.' => {
                if self.expects_atom || self.bond.is_some() || !self.branches.is_empty() {
                    return self.fault("an atom");
                }
                self.place += 1;
                (self.before, self.expects_atom, self.closes_rings) = (None, true, false);
                Ok(())
            }
            b'0'..=b'9' | b'%' => self.ring(),
            sign @ (b'-' | b'=' | b'#' | b'$' | b':' | b'/' | b'\\') => {
                if self.bond.is_some() || self.before.is_none() {
                    return self.fault("an atom");
                }
                self.place += 1;
                self.bond = Some(match sign {
                    b'=' => Order::Whole(2),
                    b'#' => Order::Whole(3),
                    b'$' => Order::Whole(4),
                    b':' => Order::Aromatic,
                    _ => Order::Whole(1),
                });
                Ok(())
            }
            _ => self.atom(),
        }
    }

    fn atom(&mut self) -> Result<(), SmilesFault> {
        let atom = if self.peek() == b'[' {
            self.place += 1;
            self.in_brackets()?
        } else if let Some(symbol) = self.take(&ORGANIC) {
            Atom { element: number_of(symbol), aromatic: false, charge: 0, hydrogens: None }
        } else if let Some(symbol) = self.take(&AROMATIC) {
            Atom { element: number_of(symbol), aromatic: true, charge: 0, hydrogens: None }
        } else if self.take(&["*"]).is_some() {
            Atom { element: 0, aromatic: false, charge: 0, hydrogens: None }
        } else {
            return self.fault("an atom, bond, branch or ring number");
        };
        let number = self.molecule.atoms.len();
        self.molecule.atoms.push(atom);
        self.molecule.bonds_of.push(vec![]);
        let order = self.bond.take().unwrap_or(Order::Elided);
        if let Some(before) = self.before.replace(number) {
            self.bind([before, number], order);
        }
        (self.expects_atom, self.closes_rings) = (false, true);
        Ok(())
    }

    fn bind(&mut self, atoms: [usize; 2], order: Order) {
        let bond = self.molecule.bonds.len();
        self.molecule.bonds.push(Bond { atoms, order });
        atoms.iter().for_each(|&atom| self.molecule.bonds_of[atom].push(bond));
    }

    /// An atom after its opening bracket: isotope, symbol, chirality, hydrogens, charge, class.
    fn in_brackets(&mut self) -> Result<Atom, SmilesFault> {
        self.digits();
        let (symbol, aromatic) = self.symbol()?;
        if self.take(&["@@", "@"]).is_some() {
            self.take(&["TH1", "TH2", "AL1", "AL2"]);
        }
        let mut hydrogens = 0;
        if self.take(&["H"]).is_some() {
            hydrogens = self.digits().unwrap_or(1);
        }
        let charge = self.charge();
        if self.take(&[":"]).is_some() && self.digits().is_none() {
            return self.fault("the number of a class");
        }
        if self.take(&["]"]).is_none() {
            return self.fault("a closing bracket");
        }
        Ok(Atom { element: number_of(symbol), aromatic, charge, hydrogens: Some(hydrogens) })
    }

    fn symbol(&mut self) -> Result<(&'static str, bool), SmilesFault> {
        for length in [2, 1] {
            let here = self.text.get(self.place..self.place + length);
            if let Some(symbol) = ELEMENTS.iter().find(|symbol| here == Some(symbol.as_bytes())) {
                self.place += length;
                return Ok((symbol, false));
            }
        }
        match self.take(&AROMATIC_IN_BRACKETS) {
            Some(symbol) => Ok((symbol, true)),
            None => self.fault("the symbol of an element"),
        }
    }

    fn charge(&mut self) -> i32 {
        let sign = match self.peek() {
            b'+' => 1,
            b'-' => -1,
            _ => return 0,
        };
        let mark = self.peek();
        let start = self.place;
        while self.peek() == mark {
            self.place += 1;
        }
        let marks = (self.place - start) as i32;
        let digits = if marks == 1 { self.digits() } else { None };
        sign * digits.map_or(marks, |digits| digits.min(99) as i32)
    }

    fn digits(&mut self) -> Option<u32> {
        let start = self.place;
        let mut number = 0_u32;
        while self.peek().is_ascii_digit() {
            number = number.saturating_mul(10).saturating_add(u32::from(self.peek() - b'0'));
            self.place += 1;
        }
        (self.place > start).then_some(number)
    }

    /// A ring number: a digit, `%` with two digits, or `%(…)`.
    fn ring(&mut self) -> Result<(), SmilesFault> {
        let Some(atom) = self.before.filter(|_| self.closes_rings) else { return self.fault("an atom") };
        let ring = if self.take(&["%("]).is_some() {
            let number = self.digits().filter(|number| *number <= 99_999);
            match number.filter(|_| self.take(&[")"]).is_some()) {
                Some(number) => number,
                None => return self.fault("the number of a ring"),
            }
        } else if self.take(&["%"]).is_some() {
            match self.text.get(self.place..self.place + 2) {
                Some(&[a @ b'0'..=b'9', b @ b'0'..=b'9']) => {
                    self.place += 2;
                    u32::from(a - b'0') * 10 + u32::from(b - b'0')
                }
                _ => return self.fault("two digits"),
            }
        } else {
            self.place += 1;
            u32::from(self.text[self.place - 1] - b'0')
        };
        let bond = self.bond.take();
        let Some((first, first_bond)) = self.rings.remove(&ring) else {
            self.rings.insert(ring, (atom, bond));
            return Ok(());
        };
        let joined = |&bond: &usize| self.molecule.other_end(bond, atom) == first;
        if first == atom || self.molecule.bonds_of[atom].iter().any(joined) {
            return Err(SmilesFault::Ring(ring));
        }
        self.bind([first, atom], first_bond.or(bond).unwrap_or(Order::Elided));
        Ok(())
    }

    fn finish(self) -> Result<Molecule, SmilesFault> {
        if self.expects_atom || self.bond.is_some() {
            return self.fault("an atom");
        }
        if !self.branches.is_empty() {
            return self.fault("the end of a branch");
        }
        match self.rings.keys().next() {
            Some(ring) => Err(SmilesFault::Ring(*ring)),
            None => Ok(self.molecule),
        }
    }
}
