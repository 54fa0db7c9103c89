//! Laws of scaling by the built program, from a table to a page.

use std::fmt::Write as _;

use crate::autoencoder::VAE;
use crate::fixture::{Ended, Sandbox};

/// `E + A / N^alpha + B / D^beta` with E, A, alpha, B, beta.
fn law([e, a, alpha, b, beta]: [f64; 5], params: f64, tokens: f64) -> f64 {
    e + a / params.powf(alpha) + b / tokens.powf(beta)
}

const SPEECH: [f64; 5] = [2.0, 60.0, 0.28, 90.0, 0.27];
const TEXT: [f64; 5] = [1.6, 120.0, 0.32, 200.0, 0.30];

/// Runs of speech, of text, and of both, whose interaction is −C + 8 / N^0.22 + 60 / D^0.3, with a ripple of 0.2 %.
fn table(c: f64) -> String {
    table_of("speech", c)
}

/// The same of another modality than speech.
fn table_of(first: &str, c: f64) -> String {
    let pair = format!("{first}|text");
    let mut text = String::from("modality,params,tokens,loss\n");
    let mut ripple = 0.0f64;
    for params in [8e6, 25e6, 70e6, 200e6, 500e6, 1.3e9] {
        for tokens in [2e8, 1e9, 5e9, 2e10] {
            let average = 0.5 * (law(SPEECH, params, tokens / 2.0) + law(TEXT, params, tokens / 2.0));
            let mixed = average + law([-c, 8.0, 0.22, 60.0, 0.3], params, tokens);
            let losses = [law(SPEECH, params, tokens), law(TEXT, params, tokens), mixed];
            for (modality, loss) in [first, "text", &pair].into_iter().zip(losses) {
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

/// Codes of images by themselves, captions with their codes in one document, and codes beside text, from a plan to fits.
#[test]
fn codes_of_images_are_groups_of_a_sweep() {
    let sandbox = Sandbox::new();
    let shared = "tokenizer={path=\"tokenizer.json\"}";
    let group = |modalities: &str, config: &str, more: &str| {
        format!("[[groups]]\nmodalities = {modalities}\nconfig = \"{config}\"\ntokens_per_document = 34.0\n{more}\n")
    };
    let groups = [
        group("[\"text\"]", "books.toml", "losses = { text = \"held_out/books.text_loss\" }"),
        group("[\"image\"]", "image.toml", ""),
        group("[\"image-text\"]", "image-text.toml", ""),
        group(
            "[\"image\", \"text\"]",
            "both.toml",
            "name = \"image-and-text\"\nlosses = { text = \"held_out/books.text_loss\" }",
        ),
    ];
    let sweep = format!(
        "sizes = [\"8K\", \"12K\", \"16K\"]\ntokens = [\"1K\", \"2K\"]\nleast_steps = 4\n[modalities.image-text]\n\
         count = \"image_count + text_count\"\nloss = \"held_out/image_text_loss\"\n[modalities.image]\n\
         loss = \"held_out/image_alone_loss\"\n{}",
        groups.concat()
    );
    sandbox.write("sweep.toml", sweep);
    for (name, text) in code_configurations(shared) {
        sandbox.write(name, text);
    }
    std::fs::create_dir(sandbox.path("books")).expect("a folder for texts");
    for at in 0..40 {
        sandbox.write(&format!("books/{at}.txt"), format!("{at} apples and {} pears make {at} tarts", at * 7 + 1));
    }
    let refused = ["image", "image.toml", "codec.path", "vae-run/vae", "interfuse vae train", "vae.codebook"];
    for command in [&["plan", "sweep.toml"][..], &["sweep", "sweep.toml", "--out", "runs"]] {
        scaling(&sandbox, command).refused(&refused);
    }
    sandbox.write("vae.toml", VAE);
    sandbox.interfuse(&["vae", "train", "vae.toml", "--set", "vae.codebook={codes=6,dim=2}"]).succeeded();
    sandbox.train(&["run.dir=words", "train.steps=1", "data.source.held_out=0.25"]).succeeded();
    let tokenizer = sandbox.bytes("words/checkpoints/step-000001/tokenizer.json");
    sandbox.write("tokenizer.json", tokenizer);

    scaling(&sandbox, &["plan", "sweep.toml"]).succeeded().said(&["image-text-N8K-D1K-s0", "24 runs"]);
    let ended = scaling(&sandbox, &["sweep", "sweep.toml", "--out", "runs", "--at-once", "2"]).succeeded();
    ended.said(&["24 runs finished, 0 failed"]);
    let table = String::from_utf8(sandbox.bytes("runs/table.csv")).expect("UTF-8");
    for (modality, count) in [(",image,", 6), (",image-text,", 6), (",image|text,", 6), (",text,", 6)] {
        assert_eq!(table.matches(modality).count(), count, "{modality} in {table}");
    }
    // Of an image alone every code is a token; of a captioned one the words and markers are tokens besides.
    let tokens = |run: &str, key: &str| -> f64 {
        let lines = sandbox.json_lines(&format!("runs/runs/{run}/attempt-1/metrics.jsonl"));
        lines.iter().filter(|line| line.get("loss").is_some()).filter_map(|line| line[key].as_f64()).sum()
    };
    let finished = |run: &str| sandbox.json(&format!("runs/runs/{run}/finished.json"))["row"].clone();
    let both = finished("image-text-N8K-D1K-s0");
    let counted = ["image_count", "text_count"].map(|key| tokens("image-text-N8K-D1K-s0", key));
    assert_eq!(both["tokens"].as_f64(), Some(counted[0] + counted[1]), "{both}");
    assert!(counted[0] > 0.0 && counted[1] > 0.0);
    assert_eq!(finished("image-N8K-D1K-s0")["tokens"].as_f64(), Some(tokens("image-N8K-D1K-s0", "image_count")));
    assert_eq!(both["modality"], "image-text");
    assert_eq!(finished("image-and-text-N8K-D1K-s0")["modality"], "image|text");
    // Of runs of a few steps there is no law; a table of the same names has one.
    sandbox.write("images.csv", table_of("image", 0.2));
    let pair = ["fit", "images.csv", "--pair", "text|image", "--resamples", "2"];
    let ended = scaling(&sandbox, &pair).succeeded();
    ended.said(&["law of image:", "law of text:", "law of image|text"]);
}

/// Configurations of the groups of a sweep of image codes: text, codes, captions with codes, and codes beside text.
fn code_configurations(tokenizer: &str) -> [(&'static str, String); 4] {
    let books = "[[data.mixture]]\nname = \"books\"\n\
                 content = { kind = \"texts\", corpus = { kind = \"folder\", path = \"books\", held_out = 0.25 } }\n";
    let images = "[[data.mixture]]\nname = \"images\"\ncontent = { kind = \"images\" }\n";
    let codec = "[codec]\nkind = \"vae\"\npath = \"vae-run/vae\"\nbundle = false\n";
    let alone = "[documents]\nimage_first = 0.0\ncaption_dropout = 1.0\n";
    let either = "[documents]\nimage_first = 0.5\ncaption_dropout = 0.0\n";
    let image = "[model.modalities.image]\nobjective = \"next_token\"\nvocabulary = \"text\"\n";
    let of = |mixture: &str, documents: &str, has_images: bool| {
        let (codec, image, partition) = match has_images {
            true => (codec, image, "[[\"text\", \"image\"]]"),
            false => ("", "", "[[\"text\"]]"),
        };
        format!(
            "{tokenizer}\n[run]\ndir = \"unused\"\ndevice = \"cpu\"\n[data]\nimage_size = [8, 16]\n\
             source = {{ kind = \"folder\", path = \"images\", held_out = 0.25 }}\n{mixture}{codec}{documents}\
             [model]\npartition = {partition}\n[model.backbone]\nd_model = 16\nn_layers = 1\nn_heads = 2\n\
             [model.modalities.text]\nobjective = \"next_token\"\n{image}[optimizer]\nwarmup_steps = 2\n\
             [train]\nsteps = 1\nbatch_size = 2\n[validation]\nimages = 8\n"
        )
    };
    [
        ("books.toml", of(books, "", false)),
        ("image.toml", of("", alone, true)),
        ("image-text.toml", of("", either, true)),
        ("both.toml", of(&format!("{images}{books}"), alone, true)),
    ]
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
