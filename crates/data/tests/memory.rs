//! Memory does not grow with the images that were passed.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::Path;

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use interfuse_data::{DataConfig, ImageCursor, ImageStream, open};

/// KiB that this process holds, where the system says so.
fn held() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().trim_end_matches(" kB").parse().ok()
}

/// Images of noise, of 3 KB each.
fn noise() -> Vec<Vec<u8>> {
    let of = |number: u32| {
        let mut state = number + 1;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let pixels: Vec<u8> = (0..32 * 32 * 3).map(|_| next()).collect();
        let mut file = vec![];
        PngEncoder::new(&mut file).write_image(&pixels, 32, 32, ExtendedColorType::Rgb8).unwrap();
        file
    };
    (0..16).map(of).collect()
}

/// A compressed tar of so many captioned images.
fn write_shard(path: &Path, images: &[Vec<u8>], rows: usize) {
    let packed = flate2::write::GzEncoder::new(fs::File::create(path).unwrap(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(packed);
    for row in 0..rows {
        let (image, caption) = (&images[row % images.len()], format!("caption {row}"));
        for (suffix, bytes) in [("png", image.as_slice()), ("txt", caption.as_bytes())] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, format!("{row:06}.{suffix}"), bytes).unwrap();
        }
    }
    tar.into_inner().unwrap().finish().unwrap().flush().unwrap();
}

#[test]
fn memory_stays_while_shards_pass() {
    let root = tempfile::tempdir().unwrap();
    let images = noise();
    for shard in 0..24 {
        write_shard(&root.path().join(format!("{shard}.tar.gz")), &images, 1000);
    }
    // Of 64 × 64 pixels they are too many to be kept once they are decoded.
    let config = format!(
        "image_size = [64, 64]\nupscale = true\nsource = {{ kind = 'shards', shards = ['{}'], held_out = 0.0, window = 256 }}",
        root.path().display()
    );
    let config: DataConfig = toml::from_str(&config).unwrap();
    let source = open(&config).unwrap().train;
    assert_eq!(source.len(), 24_000);
    assert!(source.len() * 64 * 64 * 3 > interfuse_data::sources::KEPT_BYTES);
    let mut stream = ImageStream::new(source.clone(), 0.0, 1, ImageCursor::default());
    let mut pass = |count: usize| {
        for number in 0..count {
            drop(stream.next_batch(1).unwrap());
            assert!(source.captions(number).unwrap()[0].starts_with("caption "));
        }
        held()
    };
    // Of 75 MB in all, a sixth warms up what allocators keep.
    let before = pass(4000);
    let after = pass(20_000);
    assert_eq!(stream.cursor(), ImageCursor { next: 24_000, bad: 0 });
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < before + 8192, "{before} KiB became {after} KiB");
    }
}
