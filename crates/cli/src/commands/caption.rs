//! `interfuse caption`: what is on images.

use anyhow::bail;
use interfuse_data::Image;
use interfuse_sampling::Caption;
use serde_json::json;

use crate::args::CaptionArgs;
use crate::print::{say, say_error};

pub(crate) fn run(args: &CaptionArgs) -> anyhow::Result<()> {
    args.answer.begin();
    let loaded = args.model.open()?;
    let framing = loaded.pretrained.card.reading_framing();
    let (mut names, mut images, mut skipped) = (vec![], vec![], vec![]);
    for path in &args.images {
        match Image::open(path, framing.shape.channels).and_then(|image| image.framed(&framing)) {
            Ok(image) => {
                names.push(path.display().to_string());
                images.push(image);
            }
            Err(error) => {
                say_error!("skipped: {error}");
                skipped.push(error.to_string());
            }
        }
    }
    if images.is_empty() {
        bail!("none of the {} images could be read", args.images.len());
    }
    let captions = interfuse_sampling::caption(&loaded.pretrained, &images, &loaded.sampling(), &mut |_| {})?;
    let mut written = vec![];
    for (name, Caption { text, cut_at }) in names.iter().zip(captions) {
        written.push(json!({ "image": name, "caption": text, "cut_at": cut_at }));
        say!("{name}\t{text}");
        if let Some(limit) = cut_at {
            say_error!("warning: the caption of {name} was cut at sampling.max_caption_tokens = {limit}");
        }
    }
    args.answer.give(&json!({ "captions": written, "skipped": skipped }))
}
