//! `interfuse caption`: what is on images.

use anyhow::bail;
use interfuse_data::Image;
use interfuse_sampling::Caption;

use crate::args::CaptionArgs;
use crate::print::{say, say_error};

pub(crate) fn run(args: &CaptionArgs) -> anyhow::Result<()> {
    let loaded = args.model.open()?;
    let framing = loaded.pretrained.card.framing();
    let (mut names, mut images) = (vec![], vec![]);
    for path in &args.images {
        match Image::open(path, framing.shape.channels).and_then(|image| image.framed(framing)) {
            Ok(image) => {
                names.push(path.display().to_string());
                images.push(image);
            }
            Err(error) => say_error!("skipped: {error}"),
        }
    }
    if images.is_empty() {
        bail!("none of the {} images could be read", args.images.len());
    }
    let captions = interfuse_sampling::caption(&loaded.pretrained, &images, &loaded.sampling(), &mut |_| {})?;
    for (name, Caption { text, cut_at }) in names.iter().zip(captions) {
        say!("{name}\t{text}");
        if let Some(limit) = cut_at {
            say_error!("warning: the caption of {name} was cut at sampling.max_caption_tokens = {limit}");
        }
    }
    Ok(())
}
