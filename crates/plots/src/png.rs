//! An SVG as pixels, with the embedded typeface alone, so that it looks alike on every machine.

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::fontdb::Database;
use resvg::usvg::{Options, Tree};

use crate::text;

static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    for font in [text::REGULAR, text::SEMI_BOLD] {
        fonts.load_font_data(font.to_vec());
    }
    Arc::new(fonts)
});

/// The bytes of a PNG on white, or why there are none.
pub(crate) fn rendered(svg: &str, scale: f64) -> Result<Vec<u8>, String> {
    let options = Options { fontdb: Arc::clone(&FONTS), font_family: "Inter".to_string(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).map_err(|error| error.to_string())?;
    let scale = scale as f32;
    let [width, height] = [tree.size().width(), tree.size().height()].map(|side| (side * scale).round() as u32);
    let mut pixels = Pixmap::new(width, height).ok_or("it has no pixels")?;
    pixels.fill(Color::WHITE);
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| error.to_string())
}
