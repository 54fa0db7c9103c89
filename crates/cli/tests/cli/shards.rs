//! A run on shards: the same as one on a folder of the same images, resumed to the same bytes, and honest about what is broken.

use std::fs;
use std::io::Write;

use crate::fixture::{COLOURS, Sandbox};

const SOURCE: &str = "data.source={kind=\"shards\",shards=[\"shards/{0..1}.tar\"],held_out=0.0}";
/// What a checkpoint has of weights and moments.
const FILES: [&str; 3] = ["model.safetensors", "ema.safetensors", "training_state/optimizer.safetensors"];

/// A sandbox with its images in two tars as well, four in each.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("shards")).expect("a folder");
    for (number, colours) in COLOURS.chunks(4).enumerate() {
        let mut tar = tar::Builder::new(vec![]);
        for (name, _) in colours {
            for (suffix, bytes) in
                [("png", sandbox.bytes(&format!("images/{name}.png"))), ("txt", name.as_bytes().into())]
            {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, format!("{name}.{suffix}"), bytes.as_slice())
                    .expect("a member is written");
            }
        }
        sandbox.write(&format!("shards/{number}.tar"), tar.into_inner().expect("a tar is written"));
    }
    sandbox
}

/// The same, each tar also compressed.
fn packed_sandbox() -> Sandbox {
    let sandbox = sandbox();
    for tar in ["shards/0.tar", "shards/1.tar"] {
        let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        packed.write_all(&sandbox.bytes(tar)).expect("bytes are compressed");
        sandbox.write(&format!("{tar}.gz"), packed.finish().expect("a file is compressed"));
    }
    sandbox
}

/// Shards of a pattern one at a time, shuffled by threes.
fn by_shards(pattern: &str) -> String {
    let order = "order=\"shards\",interleave=1,window=3";
    format!("data.source={{kind=\"shards\",shards=[\"{pattern}\"],{order},held_out=0.0}}")
}

/// Weights and moments after six steps.
fn trained(sandbox: &Sandbox, run: &str) -> [Vec<u8>; 3] {
    FILES.map(|file| sandbox.bytes(&format!("{run}/checkpoints/step-000006/{file}")))
}

#[test]
fn a_run_on_tars_ends_with_the_bytes_of_one_on_a_folder_and_a_resume_does_too() {
    let sandbox = sandbox();
    sandbox.train(&["run.dir=folder"]).succeeded().said(&["8 images"]);
    sandbox.train(&["run.dir=tars", SOURCE]).succeeded().said(&["8 images"]);
    let whole = trained(&sandbox, "folder");
    assert!(trained(&sandbox, "tars") == whole, "tars and folder differ");

    fs::remove_dir_all(sandbox.path("tars/checkpoints/step-000006")).expect("a checkpoint is removed");
    let ended = sandbox.train(&["run.dir=tars", SOURCE, "--resume"]).succeeded();
    let ended = ended.said(&["resuming from tars/checkpoints/step-000003"]);
    assert!(!ended.stdout.contains("changed since"), "{}", ended.stdout);
    assert!(trained(&sandbox, "tars") == whole, "a resumed run differs");
}

#[test]
fn a_run_that_reads_shard_by_shard_ends_with_the_same_bytes_whatever_the_shards_are() {
    let sandbox = packed_sandbox();
    let (tars, packed) = (by_shards("shards/{0..1}.tar"), by_shards("shards/{0..1}.tar.gz"));
    sandbox.train(&["run.dir=tars", &tars]).succeeded().said(&["8 images"]);
    sandbox.train(&["run.dir=packed", &packed]).succeeded().said(&["8 images"]);
    let whole = trained(&sandbox, "tars");
    assert!(trained(&sandbox, "packed") == whole, "compressed tars and tars differ");
    sandbox.train(&["run.dir=rows", SOURCE]).succeeded();
    assert!(trained(&sandbox, "rows") != whole, "both orders are the same");

    fs::remove_dir_all(sandbox.path("packed/checkpoints/step-000006")).expect("a checkpoint is removed");
    let ended = sandbox.train(&["run.dir=packed", &packed, "--resume"]).succeeded();
    let ended = ended.said(&["resuming from packed/checkpoints/step-000003"]);
    assert!(!ended.stdout.contains("changed since"), "{}", ended.stdout);
    assert!(trained(&sandbox, "packed") == whole, "a resumed run differs");
}

#[cfg(feature = "parquet")]
#[test]
fn a_run_on_parquet_ends_with_the_bytes_of_one_on_tars_and_a_resume_does_too() {
    let sandbox = sandbox();
    // Two row groups of the images of the two tars.
    sandbox.write("colours.parquet", include_bytes!("parquet/colours.parquet"));
    sandbox.train(&["run.dir=tars", &by_shards("shards/{0..1}.tar")]).succeeded();
    let parquet = by_shards("colours.parquet");
    sandbox.train(&["run.dir=parquet", &parquet]).succeeded().said(&["8 images"]);
    let whole = trained(&sandbox, "tars");
    assert!(trained(&sandbox, "parquet") == whole, "Parquet and tars differ");
    fs::remove_dir_all(sandbox.path("parquet/checkpoints/step-000006")).expect("a checkpoint is removed");
    sandbox.train(&["run.dir=parquet", &parquet, "--resume"]).succeeded();
    assert!(trained(&sandbox, "parquet") == whole, "a resumed run differs");
}

#[cfg(not(feature = "parquet"))]
#[test]
fn parquet_is_refused_by_the_name_of_the_feature() {
    let sandbox = Sandbox::new();
    sandbox.write("colours.parquet", include_bytes!("parquet/colours.parquet"));
    sandbox.train(&[&by_shards("colours.parquet")]).refused(&["colours.parquet", "feature `parquet`"]);
}

#[test]
fn a_broken_compressed_shard_is_named_and_the_rest_is_trained_on() {
    let sandbox = packed_sandbox();
    let whole = sandbox.bytes("shards/1.tar.gz");
    sandbox.write("shards/1.tar.gz", &whole[..whole.len() / 2]);
    let ended = sandbox.train(&[&by_shards("shards/{0..1}.tar.gz")]).succeeded();
    ended.said(&["0 of 2 shards and", "shards/1.tar.gz`: expected a whole tar"]);
}

#[test]
fn what_is_broken_is_named_and_the_rest_is_trained_on() {
    let sandbox = sandbox();
    let whole = sandbox.bytes("shards/1.tar");
    sandbox.write("shards/1.tar", &whole[..3000]);
    let ended = sandbox.train(&[SOURCE]).succeeded();
    ended.said(&["5 images", "0 of 2 shards and 1 of the other shards' 6 rows", "shards/1.tar`: expected a whole tar"]);
}

#[test]
fn a_list_that_matches_nothing_is_refused() {
    let sandbox = Sandbox::new();
    let source = "data.source={kind=\"shards\",shards=[\"nowhere/{00..99}.tar\"]}";
    sandbox.train(&[source]).refused(&["nowhere/{00..99}.tar` matches no shard", "100 names"]);
}
