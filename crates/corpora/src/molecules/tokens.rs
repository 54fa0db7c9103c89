//! A SMILES as tokens.

/// The characters of a SMILES, one token each.
pub fn characters(smiles: &str) -> Vec<&str> {
    smiles.char_indices().map(|(place, letter)| &smiles[place..place + letter.len_utf8()]).collect()
}

/// The atoms, bonds, branches and rings of a SMILES, one token each: `Cl` and `Br`, an atom in brackets such as `[nH]`
/// with them, a ring number such as `%12`, and single characters for the rest.
///
/// Together the tokens are the SMILES, whatever it is; a bracket that does not close is one character.
pub fn merged_tokens(smiles: &str) -> Vec<&str> {
    let mut tokens = vec![];
    let mut rest = smiles;
    while let Some(letter) = rest.chars().next() {
        let length = match letter {
            'C' if rest.starts_with("Cl") => 2,
            'B' if rest.starts_with("Br") => 2,
            '[' => rest.find(']').map_or(1, |end| end + 1),
            '%' if rest.len() >= 3 && rest.as_bytes()[1..3].iter().all(u8::is_ascii_digit) => 3,
            _ => letter.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atoms_of_two_letters_are_one_token() {
        assert_eq!(merged_tokens("CCl[nH]1Br%12C"), ["C", "Cl", "[nH]", "1", "Br", "%12", "C"]);
        assert_eq!(merged_tokens("C[nH%1é"), ["C", "[", "n", "H", "%", "1", "é"]);
        assert_eq!(characters("CCl"), ["C", "C", "l"]);
        assert!(merged_tokens("").is_empty());
    }

    proptest::proptest! {
        #[test]
        fn tokens_together_are_the_smiles(smiles in "[CcNnOolBr\\[\\]H%0-9é]{0,40}") {
            proptest::prop_assert_eq!(merged_tokens(&smiles).concat(), smiles.clone());
            proptest::prop_assert_eq!(characters(&smiles).concat(), smiles);
        }
    }
}
