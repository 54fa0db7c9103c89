//! `interfuse gallery RUN RUN…`: a page of what runs make.

use anyhow::ensure;
use interfuse_parameters::durable::check_writable;
use interfuse_run::gallery::Gallery;

use crate::args::GalleryArgs;
use crate::print::say;

pub(crate) fn run(args: &GalleryArgs) -> anyhow::Result<()> {
    let out = &args.out;
    ensure!(
        out.extension().is_some_and(|e| e == "md"),
        "--out: expected a name that ends in .md, found {}",
        out.display()
    );
    ensure!(
        args.force || !out.exists(),
        "--out: {} exists; name another file, or replace it by --force",
        out.display()
    );
    check_writable(out)?;
    let gallery = Gallery::of(&args.runs)?;
    gallery.save(out)?;
    say!("{} runs: {}", gallery.exhibits.len(), out.display());
    Ok(())
}
