//! `report.html`: one page that needs nothing else. The curves, every number with its meaning, the generated images, and those
//! that lie nearest to and farthest from a training image.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use interfuse_data::Image;
use interfuse_parameters::durable::write_file;
use serde_json::Value;

use super::numbers::{self, Row};
use crate::error::Result;

/// Pairs that are shown of either end.
const SHOWN: usize = 8;
/// Points of a curve.
const POINTS: usize = 300;
/// Width of a curve's image.
const WIDTH: f64 = 420.0;
/// Height of a curve's image.
const HEIGHT: f64 = 140.0;

/// A generated image and the training image nearest to it.
pub(super) struct Pair {
    pub(super) prompt: String,
    /// How well the image fits its prompt, where that is known; more is better.
    pub(super) score: Option<f64>,
    pub(super) generated: Image,
    pub(super) nearest: Image,
    pub(super) nearest_caption: String,
    /// Root mean square of the difference, values in [-1, 1].
    pub(super) distance: f64,
}

/// What the page is made of.
pub(super) struct Contents<'a> {
    pub(super) title: &'a str,
    pub(super) report: &'a Value,
    /// `metrics.jsonl`, if there is one.
    pub(super) metrics: Option<String>,
    pub(super) grid: Vec<u8>,
    pub(super) prompts: Vec<String>,
    pub(super) pairs: Vec<Pair>,
    /// What the pairs' score is.
    pub(super) score: Option<&'static str>,
}

/// Writes the page.
pub(super) fn write(contents: &Contents<'_>, path: &Path) -> Result<()> {
    let mut page = String::new();
    let title = escaped(contents.title);
    write!(page, "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>")?;
    write!(page, "<h1>{title}</h1>")?;
    write!(page, "<h2>Generated images</h2><img alt='a grid of generated images' src='{}'>", inline(&contents.grid))?;
    let prompts: Vec<String> = contents.prompts.iter().map(|prompt| escaped(prompt)).collect();
    write!(page, "<p class=small>Row by row: {}</p>", prompts.join(" · "))?;
    write!(page, "<h2>Numbers</h2><table>")?;
    for Row { key, value, meaning } in numbers::rows(contents.report) {
        write!(page, "<tr><td>{}<td class=n>{}<td class=small>{meaning}", escaped(&key), escaped(&value))?;
    }
    write!(page, "</table>")?;
    if let Some(score) = contents.score {
        let by_score = sorted(&contents.pairs, |pair| pair.score.unwrap_or(f64::NAN));
        pairs(&mut page, &format!("Worst prompts, by {score}"), by_score.iter().copied())?;
        pairs(&mut page, &format!("Best prompts, by {score}"), by_score.iter().rev().copied())?;
    }
    let by_distance = sorted(&contents.pairs, |pair| pair.distance);
    pairs(&mut page, "Nearest to a training image", by_distance.iter().copied())?;
    pairs(&mut page, "Farthest from any training image", by_distance.iter().rev().copied())?;
    if let Some(metrics) = &contents.metrics {
        curves(&mut page, metrics)?;
    }
    Ok(write_file(path, page.as_bytes())?)
}

/// From the least to the most.
fn sorted(pairs: &[Pair], by: impl Fn(&Pair) -> f64) -> Vec<&Pair> {
    let mut sorted: Vec<&Pair> = pairs.iter().collect();
    sorted.sort_by(|a, b| by(a).total_cmp(&by(b)));
    sorted
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}\
    h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}table{border-collapse:collapse;width:100%}tr{border-bottom:1px solid #eee}td{padding:.15em 1em .15em 0;\
    vertical-align:top}td.n{font-variant-numeric:tabular-nums;max-width:22em;overflow-wrap:anywhere}.small{font-size:.85em;color:#666}\
    img{image-rendering:pixelated;max-width:100%}figure{display:inline-block;margin:.4em;width:150px;vertical-align:top}\
    figure img{width:70px}figcaption{font-size:.8em}svg{background:#f7f7f7;margin:.4em}";

/// The first few pairs.
fn pairs<'a>(page: &mut String, title: &str, pairs: impl Iterator<Item = &'a Pair>) -> Result<()> {
    let title = escaped(title);
    write!(page, "<h2>{title}</h2><p class=small>Generated on the left, the nearest training image on the right.</p>")?;
    for Pair { prompt, score, generated, nearest, nearest_caption, distance } in pairs.take(SHOWN) {
        let (generated, nearest) = (inline(&generated.to_png()?), inline(&nearest.to_png()?));
        write!(page, "<figure><img alt='generated' src='{generated}'> <img alt='nearest' src='{nearest}'>")?;
        let [prompt, caption] = [prompt, nearest_caption].map(|text| escaped(text));
        let score = score.map(|score| format!(", {score:.3}")).unwrap_or_default();
        write!(
            page,
            "<figcaption>{prompt}{score}<br><span class=small>{caption}, at {distance:.3}</span></figcaption></figure>"
        )?;
    }
    Ok(())
}

/// Every series of the metrics as a line.
fn curves(page: &mut String, metrics: &str) -> Result<()> {
    let mut series: Vec<(String, Vec<[f64; 2]>)> = vec![];
    // A line may be half written.
    for record in metrics.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let (Some(step), Some(map)) = (record.get("step").and_then(Value::as_f64), record.as_object()) else {
            continue;
        };
        for (name, value) in map.iter().filter(|(name, _)| *name != "step" && !name.ends_with("_count")) {
            let Some(value) = value.as_f64().filter(|value| value.is_finite()) else { continue };
            match series.iter_mut().find(|(known, _)| known == name) {
                Some((_, points)) => points.push([step, value]),
                None => series.push((name.clone(), vec![[step, value]])),
            }
        }
    }
    write!(page, "<h2>Curves</h2>")?;
    for (name, points) in series.iter().filter(|(_, points)| points.len() > 1) {
        curve(page, name, points)?;
    }
    Ok(())
}

fn curve(page: &mut String, name: &str, points: &[[f64; 2]]) -> Result<()> {
    // Means of equal stretches, so that a line of a million steps stays light.
    let means: Vec<[f64; 2]> = points
        .chunks(points.len().div_ceil(POINTS))
        .map(|chunk| {
            let mean = |axis: usize| chunk.iter().map(|point| point[axis]).sum::<f64>() / chunk.len() as f64;
            [mean(0), mean(1)]
        })
        .collect();
    let bounds = |axis: usize| {
        let values = means.iter().map(|point| point[axis]);
        values.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], x| [low.min(x), high.max(x)])
    };
    let ([left, right], [low, high]) = (bounds(0), bounds(1));
    let place = |x: f64, [low, high]: [f64; 2], length: f64| (x - low) / (high - low).max(1e-12) * length;
    let path: Vec<String> = means
        .iter()
        .map(|[x, y]| {
            let x = 10.0 + place(*x, [left, right], WIDTH - 20.0);
            format!("{x:.1},{:.1}", HEIGHT - 15.0 - place(*y, [low, high], HEIGHT - 45.0))
        })
        .collect();
    let [name, low, high] = [escaped(name), format!("{low:.4}"), format!("{high:.4}")];
    write!(
        page,
        "<svg width={WIDTH} height={HEIGHT}><text x=10 y=16 font-size=12>{name}: {low} to {high}, steps {left:.0} to \
         {right:.0}</text><polyline fill=none stroke=#36c stroke-width=1.3 points='{}'/></svg>",
        path.join(" ")
    )?;
    Ok(())
}

fn inline(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;")
}
