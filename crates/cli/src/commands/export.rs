//! `interfuse export`: the text part of a model for transformers.

use anyhow::ensure;
use interfuse_checkpoint::language_model;
use interfuse_parameters::durable::check_folder;

use crate::args::ExportArgs;
use crate::print::say;

pub(crate) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    check_folder(&args.out)?;
    let is_free = !args.out.exists() || args.out.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    ensure!(is_free, "{}: expected a folder that is empty or does not exist, found one with files", args.out.display());
    let loaded = args.model.open()?;
    language_model::export(&loaded.pretrained, &args.out)?;
    say!("AutoModelForCausalLM.from_pretrained(\"{}\") opens the text part", args.out.display());
    Ok(())
}
