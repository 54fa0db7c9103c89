//! Laws of scaling by the built program, from a table to a page.

use std::fmt::Write as _;

use crate::fixture::{Ended, Sandbox};

/// `E + A / N^alpha + B / D^beta` with E, A, alpha, B, beta.
fn law([e, a, alpha, b, beta]: [f64; 5], params: f64, tokens: f64) -> f64 {
    e + a / params.powf(alpha) + b / tokens.powf(beta)
}

const SPEECH: [f64; 5] = [2.0, 60.0, 0.28, 90.0, 0.27];
const TEXT: [f64; 5] = [1.6, 120.0, 0.32, 200.0, 0.30];

/// Runs of speech, of text, and of both, whose interaction is −C + 8 / N^0.22 + 60 / D^0.3, with a ripple of 0.2 %.
fn table(c: f64) -> String {
    let mut text = String::from("modality,params,tokens,loss\n");
    let mut ripple = 0.0f64;
    for params in [8e6, 25e6, 70e6, 200e6, 500e6, 1.3e9] {
        for tokens in [2e8, 1e9, 5e9, 2e10] {
            let average = 0.5 * (law(SPEECH, params, tokens / 2.0) + law(TEXT, params, tokens / 2.0));
            let mixed = average + law([-c, 8.0, 0.22, 60.0, 0.3], params, tokens);
            let losses = [law(SPEECH, params, tokens), law(TEXT, params, tokens), mixed];
            for (modality, loss) in ["speech", "text", "speech|text"].into_iter().zip(losses) {
                ripple += 1.0;
                let loss = loss * (1.0 + 0.002 * (ripple * ripple).sin());
                writeln!(text, "{modality},{params},{tokens},{loss:.6}").expect("a string takes a line");
            }
        }
    }
    text
}

fn scaling(sandbox: &Sandbox, args: &[&str]) -> Ended {
    sandbox.interfuse(&[&["scaling"], args].concat())
}

#[test]
fn a_table_of_one_modality_becomes_predictions_and_a_page() {
    let sandbox = Sandbox::new();
    sandbox.write("runs.csv", table(0.2));
    let quick = ["--modality", "text", "--resamples", "20"];
    let ended = scaling(&sandbox, &[&["fit", "runs.csv"][..], &quick].concat()).succeeded();
    ended.said(&[
        "72 runs",
        "sha256",
        "law of text",
        "from 24 runs",
        "95 %",
        "N_opt ~ C^",
        "converged",
        "of 4500 starts",
    ]);
    let fit = sandbox.json("fit.json");
    let constants = &fit["fit"]["single"]["fit"]["law"];
    let near = |name: &str, expected: f64, part: f64| {
        let found = constants[name].as_f64().expect("a constant");
        assert!((found / expected - 1.0).abs() < part, "{name}: {found}");
    };
    near("E", 1.6, 0.05);
    near("alpha", 0.32, 0.1);
    near("beta", 0.30, 0.2);

    // The same command gives the same file, and replaces its own.
    let first = sandbox.bytes("fit.json");
    scaling(&sandbox, &[&["fit", "runs.csv"][..], &quick].concat()).succeeded();
    assert!(sandbox.bytes("fit.json") == first, "another fit");

    let ended = scaling(&sandbox, &["predict", "fit.json", "--params", "70M", "--tokens", "5B"]).succeeded();
    ended.said(&["text at N 70.0M, D 5.00B", "loss", "one run"]);
    let ended = scaling(&sandbox, &["predict", "fit.json", "--params", "7B", "--tokens", "140B"]).succeeded();
    ended.said(&["warning: extrapolated: N is 5.4 times above the largest", "D is 7.0 times"]);
    let ended = scaling(&sandbox, &["predict", "fit.json", "--flops", "1e19"]).succeeded();
    ended.said(&["best N", "best D", "tokens a parameter"]);
    scaling(&sandbox, &["barrier", "fit.json"]).refused(&["fit.json", "`text` alone", "--pair"]);

    scaling(&sandbox, &["plot", "fit.json", "runs.csv", "--png", "figures"]).succeeded().said(&["scaling.html"]);
    let page = String::from_utf8(sandbox.bytes("scaling.html")).expect("UTF-8");
    assert!(page.contains("Law of text"), "{page}");
    assert_eq!(page.matches("<svg xmlns").count(), 3, "loss against tokens and FLOPs, and residuals");
    assert!(["src=", "<script", "<link"].iter().all(|part| !page.contains(part)), "the page needs nothing else");
    let names = sandbox.names("figures");
    assert!(names.contains(&"text-compute.png".to_owned()) && names.len() == 6, "{names:?}");
}

#[test]
fn a_pair_has_a_barrier_or_plainly_none() {
    let sandbox = Sandbox::new();
    sandbox.write("runs.csv", table(0.2));
    let fit = |name: &str, out: &str| {
        // The order of the two in the table counts, not that of the words.
        scaling(&sandbox, &["fit", name, "--pair", "text|speech", "--resamples", "20", "--out", out]).succeeded()
    };
    fit("runs.csv", "pair.json").said(&[
        "law of speech:",
        "law of text:",
        "law of speech|text",
        "24 mixed runs",
        "a barrier exists in",
    ]);
    // By the true constants the cheapest place has 4.4e18 FLOPs or so; the fit is near.
    let ended = scaling(&sandbox, &["barrier", "pair.json", "--params", "500M"]).succeeded();
    ended.said(&["at N 500M the two help each other from D", "least FLOPs on the barrier"]);
    let ended = scaling(&sandbox, &["barrier", "pair.json", "--tokens", "1K"]).succeeded();
    ended.said(&["at D 1.00K there is no barrier", "whatever the size"]);
    let ended = scaling(&sandbox, &["predict", "pair.json", "--params", "8M", "--tokens", "200M"]).succeeded();
    ended.said(&["speech|text at N 8.00M, D 200M (100M and 100M)", "interaction +", "competition", "synergy in 0 %"]);
    let ended = scaling(&sandbox, &["predict", "pair.json", "--flops", "1e19", "--modality", "speech"]).succeeded();
    ended.said(&["speech with 1.000e19 FLOPs"]);
    scaling(&sandbox, &["predict", "pair.json", "--flops", "1e19"]).refused(&["--modality", "`speech` or `text`"]);
    scaling(&sandbox, &["plot", "pair.json", "runs.csv"]).succeeded();
    let page = String::from_utf8(sandbox.bytes("scaling.html")).expect("UTF-8");
    assert!(page.contains("Interaction of speech|text") && page.contains("competition and synergy"));

    sandbox.write("never.csv", table(-0.3));
    fit("never.csv", "never.json").said(&["a barrier exists in"]);
    scaling(&sandbox, &["barrier", "never.json"]).succeeded().said(&["there is no barrier: C is -0."]);
}

#[test]
fn what_is_no_table_to_fit_is_named() {
    let sandbox = Sandbox::new();
    let refused = |table: &str, parts: &[&str]| {
        sandbox.write("bad.csv", table);
        scaling(&sandbox, &["fit", "bad.csv"]).refused(parts);
    };
    refused(
        "params,tokens,loss\n1e6,1e9,3\n1e6,2e9,2.9\n1e6,3e9,2.8\n1e6,4e9,2.7\n1e6,5e9,2.6\n",
        &["sizes", "found 1"],
    );
    refused("params,tokens,loss\n1e6,1e9,NaN\n", &["bad.csv", "line 2", "loss", "NaN"]);
    refused("params,tokens,loss\n1e6,1e9,3\n1e6,1e9,3\n", &["bad.csv", "lines 2 and 3"]);
    refused("parms,tokens,loss\n1e6,1e9,3\n", &["`parms`", "`params`"]);
    refused("params,tokens,loss,tokenizer\n1e6,1e9,3,a\n2e6,1e9,3,b\n", &["tokenizers", "`a`", "`b`"]);
    refused("", &["bad.csv", "`params`"]);
    scaling(&sandbox, &["fit", "nowhere.csv"]).refused(&["nowhere.csv"]);
}

#[test]
fn what_looks_wrong_is_warned_of() {
    let sandbox = Sandbox::new();
    let mut millions = String::from("params,tokens,loss\n");
    for params in [1.0, 3.0, 9.0] {
        for tokens in [10.0, 40.0, 160.0] {
            let loss = law(TEXT, params * 1e6, tokens * 1e6);
            writeln!(millions, "{params},{tokens},{loss:.5}").expect("a string takes a line");
        }
    }
    sandbox.write("millions.csv", millions);
    let ended = scaling(&sandbox, &["fit", "millions.csv", "--resamples", "5"]).succeeded();
    ended.said(&[
        "warning: the largest model has 9 parameters: are they in millions?",
        "9 runs for five constants fit anything",
    ]);
}

#[test]
fn what_does_not_fit_the_table_or_the_file_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("runs.csv", table(0.2));
    scaling(&sandbox, &["fit", "runs.csv"]).refused(&["`speech`, `speech|text`, `text`", "--modality", "--pair"]);
    scaling(&sandbox, &["fit", "runs.csv", "--modality", "txt"]).refused(&["`txt`", "`text`"]);
    scaling(&sandbox, &["fit", "runs.csv", "--pair", "text|image"]).refused(&["`image`"]);
    scaling(&sandbox, &["fit", "runs.csv", "--pair", "text"]).refused(&["--pair", "`text`"]);
    scaling(&sandbox, &["fit", "runs.csv", "--modality", "text", "--delta", "0"]).refused(&["delta"]);
    scaling(&sandbox, &["fit", "runs.csv", "--modality", "text", "--resamples", "1"]).refused(&["resamples"]);
    scaling(&sandbox, &["fit", "runs.csv", "--rename", "loss=los"]).refused(&["`los`"]);
    // A slip of the keys replaces no table.
    let before = sandbox.bytes("runs.csv");
    scaling(&sandbox, &["fit", "runs.csv", "--modality", "text", "--out", "runs.csv"]).refused(&["--out", "runs.csv"]);
    assert!(sandbox.bytes("runs.csv") == before, "the table was replaced");
    scaling(&sandbox, &["predict", "runs.csv", "--flops", "1e19"]).refused(&["runs.csv", "interfuse scaling fit"]);
    let ended = scaling(&sandbox, &["predict", "fit.json", "--params", "5G", "--tokens", "1B"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("unknown suffix `G` in `5G`"), "{}", ended.stderr);

    scaling(&sandbox, &["fit", "runs.csv", "--modality", "text", "--resamples", "2"]).succeeded();
    sandbox.write("other.csv", "params,tokens,loss\n1e6,1e9,3\n");
    scaling(&sandbox, &["plot", "fit.json", "other.csv"]).refused(&["`text`", "`all`"]);
    sandbox.write("more.csv", format!("{}text,2e9,5e10,2.1\n", table(0.2)));
    scaling(&sandbox, &["plot", "fit.json", "more.csv"]).succeeded().said(&["warning: this is another table"]);
}

#[test]
fn a_sweep_over_batches_is_listed_and_needs_batches() {
    let sandbox = Sandbox::new();
    let sweep = |batches: &str| {
        format!(
            "sizes = [\"8K\"]\ntokens = [\"20K\"]\nleast_steps = 10\n{batches}\n[[groups]]\nmodalities = [\"text\"]\n\
             config = \"tiny.toml\"\ntokens_per_document = 10.0\n"
        )
    };
    sandbox.write("sweep.toml", sweep("batches = [100, 200, \"1K\"]"));
    let ended = scaling(&sandbox, &["plan", "sweep.toml", "--batches"]).succeeded();
    ended.said(&["text-N8K-D20K-B100-s0", "text-N8K-D20K-B1K-s0", "3 runs"]);
    let list = scaling(&sandbox, &["batch", "sweep.toml", "--out", "batches", "--list"]).succeeded();
    list.said(&["train.steps=200", "batches/runs/text-N8K-D20K-B100-s0/attempt-1"]);
    sandbox.write("sweep.toml", sweep(""));
    scaling(&sandbox, &["batch", "sweep.toml", "--out", "batches"]).refused(&["sweep.toml: batches", "at least three"]);
    scaling(&sandbox, &["phenomena", "run", "--batches", "none.json"]).refused(&["none.json"]);
}
