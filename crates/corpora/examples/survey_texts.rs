//! Opens a corpus and reads every text of it: how many there are, how large, what was dropped and left out, and how
//! long that takes.
//!
//! ```sh
//! cargo run --release -p interfuse-corpora --example survey_texts -- '{"kind": "rust-books"}'
//! ```
//!
//! With a number behind the settings, so many texts of either split are shown.

#![allow(clippy::print_stdout)] // An example is a program.

use std::time::Instant;

use interfuse_corpora::molecules::{check_smiles, merged_tokens};
use interfuse_corpora::{Corpus, CorpusConfig, Texts};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = std::env::args().nth(1).ok_or("expected the settings of a corpus as JSON")?;
    let shown = std::env::args().nth(2).map_or(Ok(0), |number| number.parse())?;
    let config = serde_json::from_str::<CorpusConfig>(&settings)?;
    let began = Instant::now();
    let corpus = config.open("corpus")?;
    println!("opened in {:.1} s: {:?}", began.elapsed().as_secs_f64(), corpus.statistics());
    println!("{} items, sha256 {}", corpus.record().items.len(), corpus.record().sha256);
    for item in corpus.record().items.iter().take(10) {
        println!("  {} {}", item.name, item.version);
    }
    for sentence in corpus.skipped().iter().take(12) {
        println!("left out: {sentence}");
    }
    by_source(&corpus);
    let began = Instant::now();
    for count in corpus.count_tokens(|text| text.split_whitespace().count())? {
        println!(
            "{:>9} texts, {:>7.2} MB, {:>9} words: {}",
            count.documents,
            megabytes(count.bytes),
            count.tokens,
            count.split
        );
    }
    println!("all read in {:.1} s", began.elapsed().as_secs_f64());
    if config.kind() == "molecules" {
        for (split, texts) in corpus.splits() {
            molecules(split, texts)?;
        }
    }
    for (split, texts) in corpus.splits() {
        let count = texts.len().min(shown);
        for index in 0..count {
            // Texts from all over the corpus.
            let number = index * texts.len() / count;
            println!("=== {split} {}\n{}", texts.name(number).unwrap_or_default(), texts.text(number)?);
        }
    }
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// How much comes from each folder or dictionary, by the first part of the names.
fn by_source(corpus: &Corpus) {
    let mut sources = std::collections::BTreeMap::<String, usize>::new();
    for (_, texts) in corpus.splits() {
        for name in (0..texts.len()).filter_map(|number| texts.name(number)) {
            let source = name.split(['/', '#']).next().unwrap_or_default().to_string();
            *sources.entry(source).or_default() += 1;
        }
    }
    if sources.len() <= 20 {
        println!("{sources:?}");
    }
}

fn molecules(split: &str, texts: &Texts) -> Result<(), Box<dyn std::error::Error>> {
    let began = Instant::now();
    let (mut tokens, mut characters, mut wrong) = (0, 0, vec![]);
    for number in 0..texts.len() {
        let smiles = texts.text(number)?;
        tokens += merged_tokens(&smiles).len();
        characters += smiles.len();
        if let Err(fault) = check_smiles(&smiles) {
            wrong.push(format!("{smiles}: {fault}"));
        }
    }
    let (count, seconds) = (wrong.len(), began.elapsed().as_secs_f64());
    println!("{split}: {characters} characters, {tokens} merged tokens, {count} not valid, checked in {seconds:.1} s");
    wrong.iter().take(10).for_each(|wrong| println!("  {wrong}"));
    Ok(())
}
