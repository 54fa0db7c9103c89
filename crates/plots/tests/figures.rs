//! Figures and pages as their readers meet them: the structure of the SVG, the pixels of the PNG, and what is refused.
// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use interfuse_plots::{Align, Axis, Bar, Color, ColorMap, Figure, HeatMap, Page, PlotError, Series, Table};
use proptest::prelude::*;
use resvg::tiny_skia::Pixmap;
use resvg::usvg::roxmltree::{Document, Node};

fn figure() -> Figure {
    Figure::new("loss", Axis::linear("step"), Axis::linear("nats"))
}

fn logarithmic() -> Figure {
    Figure::new("loss", Axis::logarithmic("FLOPs"), Axis::logarithmic("nats"))
}

fn falling(scale: f64) -> Vec<[f64; 2]> {
    (1..50).map(|i| [f64::from(i), scale / f64::from(i)]).collect()
}

/// Elements of that name.
fn elements<'a, 'input>(document: &'a Document<'input>, name: &'static str) -> Vec<Node<'a, 'input>> {
    document.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", name))).collect()
}

fn words(document: &Document<'_>) -> Vec<String> {
    elements(document, "text").iter().map(|node| node.text().unwrap_or_default().to_string()).collect()
}

/// Places of the points of a line, by its colour.
fn places(document: &Document<'_>, color: Color) -> Vec<[f64; 2]> {
    let line =
        elements(document, "polyline").into_iter().find(|node| node.attribute("stroke") == Some(color.css())).unwrap();
    let number = |text: &str| text.parse::<f64>().unwrap();
    line.attribute("points")
        .unwrap()
        .split(' ')
        .map(|point| point.split_once(',').map(|(x, y)| [number(x), number(y)]).unwrap())
        .collect()
}

#[test]
fn a_figure_holds_its_title_axes_names_and_data() {
    let svg =
        figure().described("Falls.").with(Series::line("dense", falling(3.0))).with(Series::line("MoT", falling(2.0)));
    let svg = svg.to_svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    let root = document.root_element();
    assert_eq!((root.attribute("role"), root.attribute("aria-label")), (Some("img"), Some("loss")));
    assert_eq!(elements(&document, "title")[0].text(), Some("loss"));
    assert_eq!(elements(&document, "desc")[0].text(), Some("Falls."));
    let words = words(&document);
    for expected in ["loss", "step", "nats", "dense", "MoT", "10", "40"] {
        assert!(words.iter().any(|word| word == expected), "{expected} is not among {words:?}");
    }
    let [dense, mot] = [Color::Blue, Color::Vermilion].map(|color| places(&document, color));
    assert_eq!((dense.len(), mot.len()), (49, 49));
    // Down on the paper is up in the data.
    assert!(dense.iter().zip(&mot).all(|(dense, mot)| dense[0] == mot[0] && dense[1] < mot[1]));
}

#[test]
fn a_power_law_is_straight_on_logarithmic_axes() {
    let svg = logarithmic().with(Series::line(
        "law",
        (0..30).map(|i| {
            let flops = 10f64.powf(15.0 + f64::from(i) / 10.0);
            [flops, 3e3 * flops.powf(-0.2)]
        }),
    ));
    let svg = svg.to_svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    let points = places(&document, Color::Blue);
    let steps: Vec<[f64; 2]> =
        points.windows(2).map(|pair| [pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]]).collect();
    assert!(
        steps.iter().all(|step| (step[0] - steps[0][0]).abs() < 0.03 && (step[1] - steps[0][1]).abs() < 0.03),
        "{steps:?}"
    );
    assert!(words(&document).contains(&"10¹⁶".to_string()));
}

#[test]
fn series_of_one_name_share_a_colour_and_an_entry() {
    let svg = figure()
        .with(Series::band("dense", [[1.0, 0.5, 1.5], [2.0, 0.4, 1.4]]))
        .with(Series::line("dense", [[1.0, 1.0], [2.0, 0.9]]))
        .with(Series::points("MoT", [[1.0, 0.8]]))
        .with(Series::line("", [[1.0, 0.7], [2.0, 0.7]]).color(Color::Ink));
    let svg = svg.to_svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    assert_eq!(words(&document).iter().filter(|word| *word == "dense").count(), 1);
    let band =
        elements(&document, "polygon").into_iter().find(|node| node.attribute("fill-opacity") == Some("0.2")).unwrap();
    assert_eq!(band.attribute("fill"), Some(Color::Blue.css()));
    assert_eq!(places(&document, Color::Blue).len(), 2);
    assert!(svg.contains(Color::Vermilion.css()) && !svg.contains(Color::Green.css()));
}

#[test]
fn a_line_breaks_where_there_is_no_number() {
    let nan = f64::NAN;
    let points = [[0.0, 1.0], [1.0, 2.0], [2.0, nan], [3.0, 1.0], [4.0, f64::INFINITY], [5.0, 1.0], [6.0, 3.0]];
    let svg = figure().with(Series::line("", points)).to_svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    assert_eq!(elements(&document, "polyline").len(), 2);
    assert_eq!(elements(&document, "circle").len(), 1, "a point between two gaps is drawn as one");
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn a_figure_without_data_says_so() {
    for empty in [
        figure(),
        figure().with(Series::line("dense", [])),
        logarithmic().with(Series::points("dense", [[f64::NAN, 1.0]; 2].map(|[x, _]| [x, f64::NAN]))),
        Figure::new("", Axis::categories("", Vec::<String>::new()), Axis::linear("slope")),
    ] {
        let svg = empty.to_svg().unwrap();
        assert!(words(&Document::parse(&svg).unwrap()).contains(&"no data".to_string()));
        assert!(!svg.contains("NaN"));
    }
}

#[test]
fn what_cannot_stand_on_an_axis_is_refused_by_name() {
    let refused = |series: Series| logarithmic().with(series).to_svg().unwrap_err().to_string();
    let expected = "series \"dense\": 0 cannot stand on the logarithmic axis \"nats\", which takes numbers above 0";
    assert_eq!(refused(Series::line("dense", [[1.0, 1.0], [2.0, 0.0]])), expected);
    assert!(refused(Series::band("dense", [[1.0, -0.5, 2.0]])).contains("-0.5 cannot stand"));
    assert!(refused(Series::intervals("dense", [[1.0, 1.0, -1.0, 2.0]])).contains("-1 cannot stand"));
    assert!(
        refused(Series::vertical("start", 0.0))
            .contains("series \"start\": 0 cannot stand on the logarithmic axis \"FLOPs\"")
    );
    assert!(refused(Series::horizontal("end", -3.0)).contains("series \"end\": -3"));
    let map = HeatMap::new(vec![0.0, 1.0], vec![1.0], vec![vec![1.0, 2.0]], ColorMap::Sequential);
    assert!(refused(Series::heat_map("barrier", map)).contains("series \"barrier\": 0 cannot stand"));
    let large = figure().with(Series::line("dense", [[0.0, 1e300]])).to_svg();
    assert!(matches!(large, Err(PlotError::TooLarge { .. })));
}

#[test]
fn bars_stand_on_zero_and_need_a_category_each() {
    let axis = || Axis::categories("", ["text", "image"]);
    let bars = [Bar { value: 0.5, interval: Some([0.4, 0.6]) }, Bar::from(-0.25)];
    let svg = Figure::new("slopes", axis(), Axis::linear("slope")).with(Series::bars("here", bars)).to_svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    let bars: Vec<[f64; 2]> = elements(&document, "rect")
        .into_iter()
        .filter(|node| {
            node.attribute("fill") == Some(Color::Blue.css())
                && node.attribute("width").unwrap().parse::<f64>().unwrap() > 20.0
        })
        .map(|node| ["y", "height"].map(|name| node.attribute(name).unwrap().parse().unwrap()))
        .collect();
    let [[top, height], [below, depth]] = bars[..] else { panic!("{bars:?}") };
    assert!((top + height - below).abs() < 0.02 && (height - 2.0 * depth).abs() < 0.05, "{bars:?}");
    let missing = Figure::new("slopes", axis(), Axis::linear("slope")).with(Series::bars("here", [1.0])).to_svg();
    assert_eq!(
        missing.unwrap_err().to_string(),
        "series \"here\": expected a bar for each of the 2 categories of axis \"\", found 1"
    );
    assert!(matches!(
        figure().with(Series::bars("here", [1.0])).to_svg(),
        Err(PlotError::Categories { expected: 0, .. })
    ));
}

#[test]
fn a_heat_map_has_a_colour_for_each_cell_and_a_bar_that_explains_them() {
    let map =
        HeatMap::new(vec![1.0, 2.0], vec![1.0, 2.0], vec![vec![0.0, 1.0], vec![f64::NAN, 0.5]], ColorMap::Sequential);
    let svg = figure().with(Series::heat_map("difference", map.contours([0.5]))).to_svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    let cells = |class: &str| {
        let group = document.descendants().find(|node| node.attribute("class") == Some(class)).unwrap();
        group.children().count()
    };
    assert_eq!((cells("cells"), cells("colors")), (3, 128));
    assert!(words(&document).contains(&"difference".to_string()));
}

#[test]
fn sizes_and_scales_out_of_range_are_refused() {
    for side in [0.0, -1.0, f64::NAN, 1e9] {
        assert!(matches!(figure().sized(side, 300.0).to_svg(), Err(PlotError::Size { .. })));
        assert!(matches!(figure().to_png(side), Err(PlotError::Png { .. })));
    }
}

#[test]
fn a_png_shows_its_words_without_a_typeface_of_the_machine() {
    let pixels = |figure: &Figure| Pixmap::decode_png(&figure.to_png(2.0).unwrap()).unwrap();
    let dark = |image: &Pixmap| image.pixels().iter().filter(|pixel| pixel.red() < 100 && pixel.green() < 100).count();
    let [with, without] = ["A title of words", ""]
        .map(|title| pixels(&Figure::new(title, Axis::linear(""), Axis::linear("")).sized(300.0, 200.0)));
    assert_eq!((with.width(), with.height()), (600, 400));
    let title = |image: &Pixmap| {
        let rows = image.pixels().chunks(600).take(60);
        rows.flatten().filter(|pixel| pixel.red() < 100).count()
    };
    assert!(title(&with) > 600, "{}", title(&with));
    assert!(dark(&without) < dark(&with));
    assert_eq!(with.pixel(599, 399).unwrap().demultiply().red(), 255, "the paper is white");
}

#[test]
fn the_same_figure_is_the_same_bytes() {
    let make = || logarithmic().with(Series::line("dense", falling(3.0))).with(Series::points("MoT", falling(2.0)));
    assert_eq!(make().to_svg().unwrap(), make().to_svg().unwrap());
    assert_eq!(make().to_png(1.0).unwrap(), make().to_png(1.0).unwrap());
}

#[test]
fn a_page_needs_nothing_else_and_shows_text_as_it_is() {
    let mut table = Table::new([("run", Align::Left), ("loss", Align::Right)]);
    table.row(["<b>dense</b>", "2.50"]);
    let page = Page::new("a & b")
        .heading("<script>alert(1)</script>")
        .paragraph("1 < 2")
        .code("interfuse compare 'a' b")
        .note("small")
        .table(table.clone())
        .figures([figure().with(Series::line("</svg>", falling(1.0)))]);
    let html = page.to_html().unwrap();
    assert!(html.starts_with("<!doctype html>") && html.contains("prefers-color-scheme:dark"));
    assert!(html.contains("<td>&lt;b&gt;dense&lt;/b&gt;<td class=n>2.50") && html.contains("<p>1 &lt; 2</p>"));
    assert_eq!(html.matches("<svg xmlns").count(), 1);
    for outside in ["<script", "<link", "src=", "href=", "url(", "@import"] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.matches("http").count() == html.matches("http://www.w3.org/2000/svg").count());
    table.row(["MoT"]);
    let refused = Page::new("").table(table).to_html().unwrap_err().to_string();
    assert_eq!(refused, "table row 2: expected 2 cells, found 1");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_the_numbers_and_names_there_is_a_sound_svg_or_an_error(
        points in prop::collection::vec((any::<f64>(), any::<f64>()), 0..12),
        small in prop::collection::vec((-1e3f64..1e3, -1e-3f64..1e3), 0..12),
        name in "\\PC{0,40}", title in any::<String>(), log in any::<bool>(),
    ) {
        for points in [points, small] {
            let points: Vec<[f64; 2]> = points.into_iter().map(|(x, y)| [x, y]).collect();
            let axes = if log { logarithmic() } else { figure() };
            let figure = axes
                .with(Series::line(name.clone(), points.clone()))
                .with(Series::points("points", points.clone()))
                .with(Series::band(title.clone(), points.iter().map(|[x, y]| [*x, *y, *y])));
            if let Ok(svg) = figure.to_svg() {
                prop_assert!(Document::parse(&svg).is_ok(), "{svg}");
                prop_assert!(!svg.contains("NaN") && !svg.contains("inf,") && !svg.contains(",inf"));
            }
        }
    }
}
