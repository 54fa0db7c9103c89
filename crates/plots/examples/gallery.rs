//! Figures of every kind, to look at: `cargo run -p interfuse-plots --example gallery -- FOLDER`.

use std::error::Error;
use std::path::PathBuf;

use interfuse_plots::{Align, Axis, Bar, Color, ColorMap, Figure, HeatMap, Page, Series, Table};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("expected the folder to write to")?);
    std::fs::create_dir_all(&folder)?;
    let figures = [curves(), matched(), slopes(), law(), isoflop(), barrier(), single()];
    for (number, figure) in figures.iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.svg")), figure.to_svg()?)?;
        std::fs::write(folder.join(format!("{number}.png")), figure.to_png(2.0)?)?;
    }
    let mut table = Table::new([("modality", Align::Left), ("slope", Align::Right), ("95 % interval", Align::Right)]);
    table.row(["text", "0.558", "0.541 to 0.575"]);
    table.row(["image", "0.348", "0.339 to 0.357"]);
    let page = Page::new("Figures of every kind")
        .paragraph("Invented numbers that look like those of runs.")
        .table(table)
        .figures(figures)
        .note("Nothing on this page was measured.");
    std::fs::write(folder.join("page.html"), page.to_html()?)?;
    Ok(())
}

/// A repeatable number between -1 and 1.
fn noise(seed: u32, index: usize) -> f64 {
    let mut x = (index as u32).wrapping_mul(0x9e37_79b9) ^ seed.wrapping_mul(0x85eb_ca6b);
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    f64::from(x ^ (x >> 16)) / f64::from(u32::MAX) * 2.0 - 1.0
}

fn curves() -> Figure {
    let mut figure =
        Figure::new("Training loss of text", Axis::linear("step"), Axis::linear("loss, nats a token").within(2.0, 4.0))
            .described("Two falling curves; that of the Mixture-of-Transformers lies lower throughout.");
    for (name, pace, seed) in [("dense", 1.0, 1), ("Mixture-of-Transformers", 0.558, 2)] {
        let mean = move |step: f64| 2.0 + 45.0 * (step / pace + 100.0).powf(-0.5);
        let steps = move || (1..250).map(|i| i as f64 * 1000.0);
        let spread = |step: f64| 0.04 + 5.0 / step.sqrt();
        figure = figure
            .with(Series::band(name, steps().map(|t| [t, mean(t) - spread(t), mean(t) + spread(t)])))
            .with(Series::line(name, steps().map(|t| [t, mean(t) + 0.6 * spread(t) * noise(seed, t as usize)])));
    }
    figure
}

fn matched() -> Figure {
    let mut figure = Figure::new(
        "Steps to equal loss",
        Axis::linear("step of dense"),
        Axis::linear("step of the other to the same loss"),
    );
    for (index, (name, slope)) in [("image", 0.348), ("text", 0.558)].into_iter().enumerate() {
        let points = (1..25).map(move |i| {
            let step = f64::from(i) * 5000.0;
            [step, step * slope * (1.0 + 0.05 * noise(index as u32, i as usize))]
        });
        figure = figure
            .with(Series::points(format!("{name}: slope {slope}"), points))
            .with(Series::line(format!("{name}: slope {slope}"), [[0.0, 0.0], [120e3, 120e3 * slope]]));
    }
    figure.with(Series::line("equal steps", [[0.0, 0.0], [120e3, 120e3]]).color(Color::Ink).dashed())
}

fn slopes() -> Figure {
    let names = ["text, training", "text, held out", "image, training", "image, held out"];
    let bar = |value: f64, reach: f64| Bar { value, interval: Some([value - reach, value + reach]) };
    Figure::new("Fraction of the dense model's steps", Axis::categories("", names), Axis::linear("slope"))
        .with(Series::bars("here", [bar(0.61, 0.05), bar(0.64, 0.07), bar(0.41, 0.03), bar(0.45, 0.06)]))
        .with(Series::bars("paper, 7B", [0.558, f64::NAN, 0.348, 0.431]))
        .with(Series::horizontal("equal", 1.0))
}

fn law() -> Figure {
    let mut figure = Figure::new(
        "Held-out loss against compute",
        Axis::logarithmic("training FLOPs"),
        Axis::logarithmic("loss, nats a token"),
    );
    let law = |flops: f64, size: f64| 1.7 + 400.0 / size.powf(0.34) + 410.0 / (flops / (6.0 * size)).powf(0.28);
    for (name, size) in [("10M", 1e7), ("40M", 4e7), ("160M", 1.6e8), ("640M", 6.4e8)] {
        let flops = move || (0..40).map(move |i| 6.0 * size * 3e7 * 10f64.powf(f64::from(i) * 0.07));
        figure = figure
            .with(Series::band(name, flops().map(move |c| [c, law(c, size) * 0.985, law(c, size) * 1.015])))
            .with(Series::line(name, flops().map(move |c| [c, law(c, size)])))
            .with(Series::points(
                name,
                flops().step_by(6).map(move |c| [c, law(c, size) * (1.0 + 0.01 * noise(3, c.log10() as usize))]),
            ));
    }
    figure
}

fn isoflop() -> Figure {
    let mut figure = Figure::new("IsoFLOP", Axis::logarithmic("parameters"), Axis::linear("loss, nats a token"));
    let mut lowest = vec![];
    for (index, flops) in [1e18f64, 1e19, 1e20, 1e21].into_iter().enumerate() {
        let best = 2e7 * (flops / 1e18).sqrt();
        let least = 3.4 - 0.35 * index as f64;
        let loss = move |size: f64| least + 0.25 * (size / best).log10().powi(2);
        let sizes =
            move |count: i32| (0..=count).map(move |i| best * 10f64.powf(f64::from(2 * i - count) / f64::from(count)));
        let name = format!("10{} FLOPs", ["¹⁸", "¹⁹", "²⁰", "²¹"][index]);
        let points = sizes(8).map(move |n| {
            let y = loss(n) + 0.02 * noise(index as u32, n as usize);
            [n, y, y - 0.03, y + 0.03]
        });
        figure = figure
            .with(Series::line(name.clone(), sizes(60).map(move |n| [n, loss(n)])))
            .with(Series::intervals(name, points));
        lowest.push([best, least]);
    }
    figure.with(Series::line("lowest", lowest).color(Color::Ink).dashed())
}

fn barrier() -> Figure {
    let centres = |from: f64, decades: f64| {
        (0..60).map(|i| 10f64.powf(from + decades * f64::from(i) / 59.0)).collect::<Vec<f64>>()
    };
    let [sizes, tokens] = [centres(7.0, 4.0), centres(9.0, 3.0)];
    let gap = |n: f64, d: f64| -0.2 + 8.0 / n.powf(0.2) + 300.0 / d.powf(0.35);
    let values = tokens.iter().map(|d| sizes.iter().map(|n| gap(*n, *d)).collect()).collect();
    let map = HeatMap::new(sizes, tokens, values, ColorMap::Diverging).contours([-0.1, 0.0, 0.1]);
    Figure::new("Competition and synergy", Axis::logarithmic("parameters"), Axis::logarithmic("tokens"))
        .with(Series::heat_map("mixed loss − mean of single", map))
}

fn single() -> Figure {
    Figure::new("One point & <nothing> else", Axis::linear("step"), Axis::logarithmic("loss"))
        .sized(320.0, 240.0)
        .with(Series::line("a run of a rather long name that does not fit into the legend at all", [[5.0, 2.0]]))
}
