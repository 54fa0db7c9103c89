//! Names with a sign of how their series are drawn, in rows below the title.

use crate::figure::Figure;
use crate::series::Marks;
use crate::svg::{Anchor, Stroke, Svg};

use super::layout::{Layout, SIGN};
use super::marks::{self, BAND, WIDTH};
use super::{LABEL, lettering};

/// Draws all entries.
pub(super) fn draw(svg: &mut Svg, figure: &Figure, layout: &Layout) {
    svg.markup("<g class='legend'>");
    for entry in &layout.entries {
        let [x, y] = entry.at;
        for (index, series) in figure.series.iter().enumerate().filter(|(_, series)| series.name == entry.name) {
            let look = layout.look(index);
            let color = look.color.css();
            let stroke = Stroke { color, width: WIDTH, opacity: 1.0, dashed: series.dashed };
            match series.marks {
                Marks::Line(_) => svg.line([x, y], [x + SIGN, y], stroke),
                Marks::Horizontal(_) | Marks::Vertical(_) => {
                    svg.line([x, y], [x + SIGN, y], Stroke { width: 1.2, ..stroke });
                }
                Marks::Points(_) => marks::point(svg, [x + SIGN / 2.0, y], look, 3.4),
                Marks::Band(_) => svg.rectangle([x, y - 5.0], [x + SIGN, y + 5.0], color, BAND),
                Marks::Bars(_) => svg.rectangle([x + 6.0, y - 5.0], [x + SIGN - 4.0, y + 5.0], color, 0.9),
                Marks::HeatMap(_) => {}
            }
        }
        svg.words(&entry.shown, [x + SIGN + 6.0, y + LABEL * 0.36], lettering(LABEL, Anchor::Start));
    }
    svg.markup("</g>");
}
