//! Runs beside one another: two real ones, tables of other trainers, and what is refused.

use crate::fixture::Sandbox;

#[test]
fn two_runs_become_a_table_a_page_and_figures() {
    let sandbox = Sandbox::new();
    // Without that, validation images are training images.
    let held_out = "data.source.held_out=0.25";
    let every_step = ["train.steps=24", "intervals.validation=4", "intervals.preview=0", held_out];
    for (run, rate) in
        [("run.dir=slow", "optimizer.learning_rate=1e-3"), ("run.dir=fast", "optimizer.learning_rate=4e-3")]
    {
        sandbox.train(&[&every_step[..], &[run, rate]].concat()).succeeded();
    }
    let compared =
        sandbox.interfuse(&["compare", "slow", "fast", "--out", "beside", "--paper", "chameleon-7b"]).succeeded();
    compared.said(&[
        "fraction of slow's steps to the same loss",
        "text, training",
        "image, held out",
        "0.558",
        "beside/comparison.html",
    ]);
    let report = sandbox.json("beside/comparison.json");
    assert_eq!(report["unit"], "steps");
    assert!(report["groups"][0]["flops_per_step"].as_f64().is_some_and(|flops| flops > 0.0));
    let matched = report["matched"].as_array().expect("losses");
    let text = matched.iter().find(|one| one["loss"]["modality"] == "text" && one["loss"]["part"] == "training");
    let slope = text.expect("text")["slope"].as_f64().expect("a slope");
    assert!(slope > 0.0 && slope < 1.0, "four times the learning rate is faster at first: {slope}");
    let names = sandbox.names("beside");
    for name in ["comparison.html", "slopes.svg", "slopes.png", "curves_text_training.svg", "matched_text_training.png"]
    {
        assert!(names.contains(&name.to_string()), "{name} is not among {names:?}");
    }
    assert!(sandbox.image_size("beside/slopes.png").0 > 1000);
}

#[test]
fn tables_of_other_trainers_are_compared() {
    let sandbox = Sandbox::new();
    let table = |pace: f64| {
        let rows = (1..=200).map(|step| {
            let loss = 2.0 + 10.0 / (f64::from(step) / pace).sqrt();
            format!("{step},{},{loss},{loss},0.1\n", f64::from(step) * 1e9)
        });
        format!("step,flops,text_loss,held_out/text_loss,rate\n{}", rows.collect::<String>())
    };
    sandbox.write("dense.csv", table(1.0));
    sandbox.write("mot.csv", table(0.558));
    let compared = sandbox.interfuse(&["compare", "dense.csv", "mot.csv", "--window", "1"]).succeeded();
    compared.said(&[
        "mot   text, training  0.558",
        "columns that are no losses are left out: `rate`",
        "cannot be checked",
    ]);
    sandbox.write("dense.csv", "step,text_loss\n1,high\n");
    let wrong = sandbox.interfuse(&["compare", "dense.csv", "mot.csv"]);
    wrong.refused(&["dense.csv, line 2, column `text_loss`: expected a number, found \"high\""]);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let sandbox = Sandbox::trained();
    sandbox.interfuse(&["compare", "run", "images"]).refused(&["images holds no run", "config.toml is missing"]);
    sandbox.interfuse(&["compare", "run", "nowhere"]).refused(&["there is no run folder nowhere"]);
    sandbox.train(&["run.dir=other"]).succeeded();
    sandbox.interfuse(&["compare", "run", "other"]).refused(&["run has no held-out losses", "--training-only"]);
    sandbox.interfuse(&["compare", "run", "other", "--paper", "gpt"]).refused(&["--paper: expected one of", "\"gpt\""]);
    sandbox.train(&["run.dir=smaller", "data.channels=1"]).succeeded();
    let args = ["compare", "run", "smaller", "--training-only"];
    sandbox.interfuse(&args).refused(&["different data", "data.channels", "--different-data"]);
    sandbox.interfuse(&[&args[..], &["--different-data"]].concat()).succeeded().said(&["note: ", "different data"]);
}
