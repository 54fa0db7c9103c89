//! `interfuse caption`: what is on pictures.

use anyhow::bail;
use interfuse_data::Picture;

use crate::args::CaptionArgs;
use crate::commands::loaded_run::LoadedRun;

pub(crate) fn run(args: &CaptionArgs) -> anyhow::Result<()> {
    let loaded = LoadedRun::open(&args.model)?;
    let [channels, height, width] = loaded.pretrained.card.picture_shape;
    let (mut names, mut pictures) = (vec![], vec![]);
    for path in &args.images {
        match Picture::open(path, channels).and_then(|picture| picture.fitted([height, width])) {
            Ok(picture) => {
                names.push(path.display().to_string());
                pictures.push(picture);
            }
            Err(error) => eprintln!("skipped: {error}"),
        }
    }
    if pictures.is_empty() {
        bail!("none of the {} pictures could be read", args.images.len());
    }
    let captions = interfuse_sampling::caption(&loaded.pretrained, &pictures, &loaded.sampling(), &mut |_| {})?;
    for (name, caption) in names.iter().zip(captions) {
        println!("{name}\t{caption}");
    }
    Ok(())
}
