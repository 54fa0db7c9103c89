//! Parity with RDKit: which strings stand for a molecule.
//!
//! `expected.csv` is made by `generate.py` from cases by hand, molecules of MOSES, and corruptions of these. Another
//! file of its kind is compared where the variable `SMILES_EXPECTED` names one.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use interfuse_corpora::molecules::check_smiles;

/// Strings that RDKit takes and we do not: triple bonds in aromatic rings, whose atoms would have a bond too many.
const EXCEPTIONS: [&str; 3] = [
    "CC(NC(=O)CC1CN2CCCCC2CO1)c1ccn#cc1",
    "CN(C)S(=O)(=O)N1CCc2cc#c(Cl)cc2C1",
    "Cc1nc2cc(O)#nn2c(C)c1CCC(=O)N(C)CC1CCCO1",
];

#[test]
fn strings_are_valid_where_rdkit_says_so() {
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smiles/expected.csv");
    let path = std::env::var("SMILES_EXPECTED").unwrap_or(committed.into());
    let text = std::fs::read_to_string(path).unwrap();
    let (mut compared, mut different) = (0, vec![]);
    for line in text.lines().skip(1) {
        let (smiles, valid) = line.rsplit_once(',').unwrap();
        let found = check_smiles(smiles);
        compared += 1;
        if found.is_ok() != (valid == "1") && !EXCEPTIONS.contains(&smiles) {
            different.push(format!("{smiles}: RDKit says {valid}, found {found:?}"));
        }
    }
    assert!(compared > 1000);
    assert!(different.is_empty(), "{} of {compared}:\n{}", different.len(), different.join("\n"));
}

#[test]
fn no_string_does_harm() {
    let long = "c1ccccc1".repeat(400);
    for smiles in
        ["", "é", "[é]", "C%é", "%", "%(", "C%(99999999999)", "[99999999999C]", "[CH99999999999]", "[C+99999999999]"]
    {
        let _ = check_smiles(smiles);
    }
    assert!(check_smiles(&"(".repeat(4000)).is_err());
    assert!(check_smiles(&"C(".repeat(2000)).is_err());
    assert!(check_smiles(&"C".repeat(4096)).is_ok());
    assert!(check_smiles(&"C".repeat(4097)).is_err());
    assert!(check_smiles(&long).is_ok());
}

proptest::proptest! {
    #[test]
    fn any_string_has_an_answer(smiles in "[#()\\-12=BCFHNOS\\[\\]clnors%+:.@/*é]{0,60}") {
        let _ = check_smiles(&smiles);
    }
}
