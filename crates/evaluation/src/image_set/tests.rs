//! What is read of folders and tars, against Pillow's pixels where published numbers rest on them.

use std::fs::File;

use image::{DynamicImage, ImageFormat};

use super::*;

fn save(folder: &Path, name: &str, image: impl Into<DynamicImage>) {
    image.into().save(folder.join(name)).unwrap();
}

fn read(path: &Path) -> (Vec<NamedImage>, SetReport) {
    let mut all = vec![];
    let report = ImageSet::open(path)
        .unwrap()
        .with_captions()
        .unwrap()
        .for_each_batch(2, &mut |batch, _| {
            assert!(batch.len() <= 2);
            all.extend(batch);
            Ok(())
        })
        .unwrap();
    (all, report)
}

#[test]
fn images_become_rgb_as_in_pillow_and_bad_ones_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    save(root, "a.png", image::GrayImage::from_pixel(3, 2, image::Luma([7])));
    save(root, "b.png", image::RgbaImage::from_pixel(3, 2, image::Rgba([10, 20, 30, 0])));
    save(root, "c.jpg", image::RgbImage::from_pixel(8, 8, image::Rgb([90, 90, 90])));
    std::fs::write(root.join("d.png"), "no image").unwrap();
    std::fs::write(root.join("b.txt"), "a blue square\nfr.utf8=un carré bleu\n").unwrap();
    std::fs::write(root.join("a.txt"), "grey").unwrap();
    let (all, report) = read(root);
    assert_eq!(all.iter().map(|image| image.name.as_str()).collect::<Vec<_>>(), ["a.png", "b.png", "c.jpg"]);
    assert!(all[0].pixels.iter().all(|&value| value == 7));
    assert_eq!(all[1].pixels.slice(ndarray::s![.., 0, 0]).to_vec(), [10, 20, 30], "transparency is dropped");
    let captions: Vec<_> = all.iter().map(|image| image.caption.as_deref()).collect();
    assert_eq!(captions, [Some("grey"), Some("a blue square"), None]);
    assert_eq!((report.images, report.bad, report.jpeg), (3, 1, 1));
    assert!(report.bad_examples[0].starts_with("d.png: "), "{report:?}");
    assert_eq!(report.sizes[&(2, 3)], 2);
}

#[test]
fn every_kind_of_pixel_is_read_as_by_pillow() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image_set/fixture/kinds");
    let expected = interfuse_parameters::read_tensors(&fixture.join("expected.safetensors")).unwrap();
    let (all, report) = read(&fixture);
    assert_eq!((all.len(), report.bad), (expected.len(), 0));
    for NamedImage { name, pixels, .. } in all {
        let expected = &expected[name.trim_end_matches(".png")];
        assert_eq!(pixels.shape(), expected.shape, "{name}");
        assert!(pixels.iter().zip(&expected.values).all(|(&level, &value)| f32::from(level) == value), "{name}");
    }
}

/// Published numbers rest on libjpeg-turbo.
#[test]
fn jpeg_files_are_read_level_for_level_as_by_pillow() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image_set/fixture");
    let ((ours, report), (by_pillow, _)) = (read(&fixture.join("jpeg")), read(&fixture.join("jpeg_by_pillow")));
    assert_eq!((ours.len(), report.jpeg), (5, 5));
    for (NamedImage { name, pixels, .. }, by_pillow) in ours.iter().zip(&by_pillow) {
        assert_eq!(*pixels, by_pillow.pixels, "{name}");
    }
}

#[test]
fn the_first_frame_of_an_animated_image_is_taken_and_counted() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image_set/fixture/animated");
    let (all, report) = read(&fixture);
    assert_eq!((all.len(), report.bad, report.animated), (3, 0, 2));
    for NamedImage { name, pixels, .. } in all {
        let is_red = |channel: usize| if channel == 0 { 255 } else { 0 };
        assert!(pixels.indexed_iter().all(|((channel, ..), &level)| level == is_red(channel)), "{name}");
    }
}

#[test]
fn a_tar_gives_what_the_folder_gives() {
    let folder = tempfile::tempdir().unwrap();
    let mut builder = tar::Builder::new(File::create(folder.path().join("set.tar")).unwrap());
    for index in 0..3u8 {
        let mut png = std::io::Cursor::new(vec![]);
        let image = image::RgbImage::from_pixel(4, 4, image::Rgb([index; 3]));
        image.write_to(&mut png, ImageFormat::Png).unwrap();
        for (extension, bytes) in [("txt", format!("number {index}").into_bytes()), ("png", png.into_inner())] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append_data(&mut header, format!("0000{index}.{extension}"), bytes.as_slice()).unwrap();
        }
    }
    builder.into_inner().unwrap();
    let (all, report) = read(&folder.path().join("set.tar"));
    assert_eq!(report.images, 3);
    assert_eq!(all[2].caption.as_deref(), Some("number 2"));
    assert!(all[2].pixels.iter().all(|&value| value == 2));
    let some = |most| {
        let mut names = vec![];
        let mut work = |batch: Vec<NamedImage>, _: &SetReport| {
            names.extend(batch.into_iter().map(|image| image.name));
            Ok(())
        };
        let set = ImageSet::open(&folder.path().join("set.tar")).unwrap().at_most(most);
        set.for_each_batch(2, &mut work).unwrap();
        names
    };
    let names: Vec<String> = all.iter().map(|image| image.name.clone()).collect();
    assert_eq!((some(1), some(2), some(9)), (names[2..].to_vec(), names[1..].to_vec(), names.clone()));
}

#[test]
fn some_of_all_are_spread_evenly() {
    for (kept, of) in [(3, 10), (10, 10), (1, 7), (99, 100)] {
        let spread = Spread::new(Some(kept), || Ok(of)).unwrap();
        let places: Vec<usize> = (0..of).filter(|&index| spread.keeps(index)).collect();
        assert_eq!(places.len(), kept);
        assert!(places.windows(2).all(|pair| (pair[1] - pair[0]).abs_diff(of / kept) <= 1), "{places:?}");
    }
    assert!(Spread::new(None, || unreachable!()).unwrap().keeps(3));
}

#[test]
fn what_holds_no_image_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &Path| ImageSet::open(path).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message(folder.path()).contains("found none"));
    assert!(message(&folder.path().join("gone")).contains("no such file"));
    std::fs::write(folder.path().join("x.csv"), "").unwrap();
    assert!(message(&folder.path().join("x.csv")).contains("expected a folder"));
    std::fs::write(folder.path().join("x.png"), "").unwrap();
    let error = ImageSet::open(folder.path()).unwrap().for_each_batch(2, &mut |_, _| Ok(())).unwrap_err();
    assert!(error.to_string().contains("1 bad ones, such as x.png"), "{error}");
}

/// The forms of captions that training reads: whichever it is, the same captions.
#[test]
fn captions_are_those_of_training_in_every_form() {
    let forms: [(&str, &[(&str, &str)]); 7] = [
        ("list", &[("metadata.jsonl", r#"{"file_name": "0.png", "text": ["wave", "other"]}"#)]),
        ("csv", &[("metadata.csv", "file_name,text\n0.png,wave\n")]),
        ("mark", &[("metadata.jsonl", "\u{feff}{\"file_name\": \"0.png\", \"text\": \"wave\"}\n{oops\n")]),
        ("dot", &[("metadata.jsonl", r#"{"file_name": "./0.png", "text": null, "caption": "wave"}"#)]),
        ("below", &[("sub/metadata.jsonl", r#"{"file_name": "0.png", "text": "wave"}"#)]),
        ("crlf", &[("0.txt", "\u{feff}wave\r\n")]),
        ("blank", &[("0.txt", "\n\nwave\nother\n")]),
    ];
    for (form, files) in forms {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join(if form == "below" { "sub" } else { "" });
        std::fs::create_dir_all(&below).unwrap();
        save(&below, "0.png", image::GrayImage::from_pixel(3, 2, image::Luma([7])));
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let (all, report) = read(folder.path());
        assert_eq!(all[0].caption.as_deref(), Some("wave"), "{form}");
        assert_eq!(report.warnings.len(), usize::from(form == "mark"), "{form}: {:?}", report.warnings);
        assert!(report.warnings.iter().all(|warning| warning.contains("`metadata.jsonl` line 2")));
    }
}

#[test]
fn metadata_that_cannot_be_read_does_not_matter_where_nobody_asks_for_captions() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path(), "0.png", image::GrayImage::from_pixel(3, 2, image::Luma([7])));
    std::fs::write(folder.path().join("metadata.csv"), "path,words\n").unwrap();
    let set = ImageSet::open(folder.path()).unwrap();
    assert_eq!(set.for_each_batch(1, &mut |_, _| Ok(())).unwrap().images, 1);
    let error = set.with_captions().err().unwrap().to_string();
    assert!(error.contains("metadata.csv") && error.contains("file_name"), "{error}");
}

#[test]
fn images_of_other_kinds_are_counted_and_too_few_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["0.png", "1.bmp", "2.tif", "3.ppm"] {
        save(root, name, image::RgbImage::from_pixel(3, 2, image::Rgb([10, 20, 30])));
    }
    std::fs::write(root.join("4.gif"), "GIF89a").unwrap();
    std::fs::write(root.join("5.heic"), "").unwrap();
    let (all, report) = read(root);
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|image| image.pixels.slice(ndarray::s![.., 0, 0]).to_vec() == [10, 20, 30]));
    assert!(report.warnings.iter().any(|warning| warning.contains("found 1 .gif, 1 .heic")), "{:?}", report.warnings);
    let set = ImageSet::open(root).unwrap();
    assert!(set.require(4, "").is_ok());
    let error = set.require(5, " for --prdc").unwrap_err().to_string();
    assert!(
        error.contains(&root.display().to_string()) && error.contains("at least 5 images for --prdc, found 4"),
        "{error}"
    );
}

#[test]
fn of_16_bits_the_upper_byte_is_kept_and_grey_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let level = |x: u32, y: u32| (x * 4099 + y * 257) as u16;
    let deep = image::ImageBuffer::from_fn(9, 7, |x, y| image::Rgb([level(x, y), level(y, x), level(x + y, 3)]));
    let upper =
        image::RgbImage::from_fn(9, 7, |x, y| image::Rgb(deep.get_pixel(x, y).0.map(|level| (level >> 8) as u8)));
    save(folder.path(), "0.png", deep);
    save(folder.path(), "1.png", upper);
    save(folder.path(), "2.png", image::ImageBuffer::from_fn(9, 7, |x, y| image::Luma([level(x, y)])));
    let (all, report) = read(folder.path());
    assert_eq!(all[0].pixels, all[1].pixels);
    assert_eq!(report.deep_grey, 1);
}
