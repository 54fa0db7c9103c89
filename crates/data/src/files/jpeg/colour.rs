//! From planes to pixels: halved colour is enlarged by the triangle filter of libjpeg's `jdsample.c` ("fancy upsampling"),
//! and colours are converted as in its `jdcolor.c`, and those of four inks as in Pillow.

use std::borrow::Cow;

use image::{DynamicImage, GrayImage, RgbImage};

use super::{Component, JpegError, Result};

/// The image of all components; `origin` says whether there is a JFIF marker, and the transform of an Adobe marker.
pub(super) fn image(
    components: &[Component],
    size: [usize; 2],
    most: [usize; 2],
    origin: (bool, Option<u8>),
) -> Result<DynamicImage> {
    let planes: Vec<Cow<'_, [u8]>> =
        components.iter().map(|component| full_size(component, size, most)).collect::<Result<_>>()?;
    let [width, height] = size.map(|side| side as u32);
    if let [grey] = &planes[..] {
        let grey = GrayImage::from_raw(width, height, grey.to_vec()).map(DynamicImage::ImageLuma8);
        return Ok(grey.unwrap_or_default());
    }
    let mut pixels = vec![0; 3 * size[0] * size[1]];
    let convert = conversion(components, origin);
    for (index, pixel) in pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let fourth = planes.get(3).map_or(0, |plane| plane[index]);
        *pixel = convert([planes[0][index], planes[1][index], planes[2][index], fourth]);
    }
    Ok(RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8).unwrap_or_default())
}

/// What the components are, by libjpeg's rules.
fn conversion(components: &[Component], (is_jfif, adobe): (bool, Option<u8>)) -> fn([u8; 4]) -> [u8; 3] {
    let ids: Vec<u8> = components.iter().map(|component| component.id).collect();
    match (components.len(), adobe) {
        (4, Some(2)) => |[y, cb, cr, k]| {
            // libjpeg's YCCK to CMYK has 255 minus the colours, and an Adobe file's inks are 255 minus themselves.
            let [r, g, b] = rgb([y, cb, cr, 0]);
            from_inks([r, g, b, 255 - k])
        },
        // Pillow takes every file of four inks for Adobe's, marker or not.
        (4, _) => |inks| from_inks(inks.map(|ink| 255 - ink)),
        _ if is_jfif => rgb,
        (_, Some(0)) => |[r, g, b, _]| [r, g, b],
        (_, None) if ids == *b"RGB" => |[r, g, b, _]| [r, g, b],
        _ => rgb,
    }
}

/// YCbCr to RGB, in whole numbers of 16 bits behind the point.
fn rgb([y, cb, cr, _]: [u8; 4]) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    const HALF: i32 = 1 << 15;
    let r = y + ((91_881 * cr + HALF) >> 16);
    let g = y + ((-22_554 * cb - 46_802 * cr + HALF) >> 16);
    let b = y + ((116_130 * cb + HALF) >> 16);
    [r, g, b].map(|level| level.clamp(0, 255) as u8)
}

/// Cyan, magenta, yellow and black to RGB, as in Pillow's `Convert.c`.
fn from_inks([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let light = 255 - u32::from(k);
    [c, m, y].map(|ink| {
        let product = u32::from(ink) * light + 128;
        light.saturating_sub(((product >> 8) + product) >> 8) as u8
    })
}

/// A component's plane at the size of the image.
fn full_size<'a>(component: &'a Component, [width, height]: [usize; 2], most: [usize; 2]) -> Result<Cow<'a, [u8]>> {
    let [h, v] = component.sampling;
    if !most[0].is_multiple_of(h) || !most[1].is_multiple_of(v) {
        return Err(JpegError::Unsupported("colour at a size that does not divide the image's"));
    }
    let stride = 8 * component.blocks[0];
    let row = |row: usize| &component.plane[row * stride..row * stride + component.width];
    let mut plane = Vec::with_capacity(width * height);
    match [most[0] / h, most[1] / v] {
        [1, 1] if stride == width => return Ok(Cow::Borrowed(&component.plane[..width * height])),
        [2, 1] if component.width > 2 => {
            for y in 0..height {
                widened(row(y), |near, far, is_right| (3 * near + far + 1 + u32::from(is_right)) >> 2, 1, |x| x)
                    .take(width)
                    .for_each(|sample| plane.push(sample));
            }
        }
        [1, 2] => {
            for y in 0..height {
                let [near, far] = neighbours(y, component.height).map(row);
                let bias = 1 + (y % 2) as u32;
                let blend = near.iter().zip(far).map(|(&a, &b)| ((3 * u32::from(a) + u32::from(b) + bias) >> 2) as u8);
                plane.extend(blend.take(width));
            }
        }
        [2, 2] if component.width > 2 => {
            let mut sums = vec![0_u16; component.width];
            for y in 0..height {
                let [near, far] = neighbours(y, component.height).map(row);
                for (sum, (&a, &b)) in sums.iter_mut().zip(near.iter().zip(far)) {
                    *sum = 3 * u16::from(a) + u16::from(b);
                }
                widened(
                    &sums,
                    |near, far, is_right| (3 * near + far + 8 - u32::from(is_right)) >> 4,
                    4,
                    |x| (x + 8) >> 4,
                )
                .take(width)
                .for_each(|sample| plane.push(sample));
            }
        }
        [across, down] => {
            for y in 0..height {
                let row = row(y / down);
                plane.extend((0..width).map(|x| row[x / across]));
            }
        }
    }
    Ok(Cow::Owned(plane))
}

/// The row of samples that a row of the image lies in, and the next nearest one; rows beyond the edge are like the last.
fn neighbours(y: usize, rows: usize) -> [usize; 2] {
    let near = y / 2;
    let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(rows - 1) };
    [near, far]
}

/// Twice as many samples in a row: `blend` gives the left or right half of a sample from it and its neighbour on that side.
/// At the edge the neighbour is the sample itself, times `weight` in all, which `edge` rounds to the left.
fn widened<'a, T: Copy + Into<u32>>(
    row: &'a [T],
    blend: impl Fn(u32, u32, bool) -> u32 + 'a,
    weight: u32,
    edge: impl Fn(u32) -> u32 + 'a,
) -> impl Iterator<Item = u8> + 'a {
    (0..2 * row.len()).map(move |place| {
        let (at, is_right) = (place / 2, place % 2 == 1);
        let near: u32 = row[at].into();
        let far = if is_right { row.get(at + 1) } else { at.checked_sub(1).and_then(|before| row.get(before)) };
        let level = match far {
            Some(&far) => blend(near, far.into(), is_right),
            None if is_right && weight == 4 => (4 * near + 7) >> 4,
            None => edge(weight * near),
        };
        level as u8
    })
}
