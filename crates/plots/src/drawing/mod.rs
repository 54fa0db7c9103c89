//! A figure as SVG: the paper, the title and the legend, the axes, and the series on top of one another.

mod axes;
mod color_bar;
mod heat;
mod layout;
mod legend;
mod marks;
mod thinning;

use crate::error::Result;
use crate::figure::Figure;
use crate::series::Marks;
use crate::svg::{Anchor, Lettering, Svg, escaped, length};
use crate::text::{FAMILIES, Weight};

use layout::Layout;

/// Size of titles in pixels.
const TITLE: f64 = 14.0;
/// Size of labels of axes and of the legend.
const LABEL: f64 = 12.0;
/// Size of labels of marks.
const SMALL: f64 = 11.0;
/// Height of a row of the legend.
const LEGEND_ROW: f64 = 18.0;

/// How words of an axis are set.
fn lettering(size: f64, anchor: Anchor) -> Lettering {
    Lettering { size, weight: Weight::Regular, anchor }
}

/// Draws a figure whose series have been checked.
pub(crate) fn svg(figure: &Figure) -> Result<String> {
    let layout = Layout::of(figure)?;
    let mut svg = Svg::default();
    open(&mut svg, figure);
    axes::draw(&mut svg, figure, &layout);
    let [left, top] = layout.corner();
    let [width, height] = layout.extent();
    // What lies outside of the axes is cut off by an SVG within the SVG, which needs no name as a clipping path does.
    svg.markup(&format!(
        "<svg class='data' x='{0}' y='{1}' width='{2}' height='{3}' viewBox='{0} {1} {2} {3}'>",
        length(left),
        length(top),
        length(width),
        length(height)
    ));
    let count = figure.series.iter().filter(|series| matches!(series.marks, Marks::Bars(_))).count();
    let mut bars = 0;
    for depth in 0..marks::DEPTHS {
        if depth == marks::DEPTHS - 1 {
            // Points on the very edge are drawn whole.
            svg.markup("</svg>");
        }
        for (index, series) in figure.series.iter().enumerate().filter(|(_, series)| marks::depth(series) == depth) {
            let look = layout.look(index);
            match &series.marks {
                Marks::HeatMap(map) => heat::draw(&mut svg, map, &layout),
                Marks::Bars(values) => {
                    marks::bars(&mut svg, values, look, &layout, [bars, count]);
                    bars += 1;
                }
                _ => marks::draw(&mut svg, series, look, &layout),
            }
        }
    }
    axes::spines(&mut svg, &layout);
    legend::draw(&mut svg, figure, &layout);
    if let Some(map) = layout.heat_map(figure) {
        color_bar::draw(&mut svg, map, &layout, figure.width);
    }
    if layout.is_empty() {
        let middle = [left + width / 2.0, top + height / 2.0];
        svg.words("no data", middle, lettering(LABEL, Anchor::Middle));
    }
    svg.markup("</svg>\n");
    Ok(svg.finish())
}

/// The paper, what it is called, and the title.
fn open(svg: &mut Svg, figure: &Figure) {
    let [title, description] = [&figure.title, &figure.description].map(|text| escaped(text));
    let [width, height] = [figure.width, figure.height].map(length);
    // Both inks may be set by the page around: the text's by `color`, the paper's by its class.
    svg.markup(&format!(
        "<svg xmlns='http://www.w3.org/2000/svg' class='plot' role='img' aria-label='{title}' width='{width}' \
         height='{height}' viewBox='0 0 {width} {height}' color='#222' fill='currentColor' font-family=\"{FAMILIES}\">\
         <title>{title}</title>"
    ));
    if !description.is_empty() {
        svg.markup(&format!("<desc>{description}</desc>"));
    }
    svg.markup(&format!("<rect class='paper' width='{width}' height='{height}' fill='#fff'/>"));
    if !figure.title.is_empty() {
        let shown = crate::text::fitted(&figure.title, TITLE, Weight::SemiBold, figure.width - 2.0 * layout::EDGE);
        let set = Lettering { size: TITLE, weight: Weight::SemiBold, anchor: Anchor::Start };
        svg.words(&shown, [layout::EDGE, layout::EDGE + TITLE - 1.0], set);
    }
}
