//! A sequence rendered as text: one line a row, in reading order, with the row's modality, its position and what it sees.

use std::fmt::Write;

use crate::layout::{LaneContent, SequenceLayout};
use crate::modality::Modality;

/// The mask: `#` where a row attends, `·` where it does not. `label` names a token of a lane.
pub fn draw_mask(layout: &SequenceLayout, modalities: &[Modality], label: &dyn Fn(usize, u32) -> String) -> String {
    let rows = layout.reading_order();
    let mut out = String::new();
    for &(modality, row) in &rows {
        let lane = &layout.lanes[modality];
        let visibility = lane.visibility[row];
        let (name, has_loss) = match &lane.content {
            LaneContent::NextToken { ids, targets } => (label(modality, ids[row]), targets[row].is_some()),
            LaneContent::Denoise { rows_per_image, spans, .. } => {
                let span = spans.get(row / rows_per_image).and_then(Option::as_ref);
                (format!("patch {}", row % rows_per_image), span.is_some_and(|span| !span.given))
            }
        };
        let position = lane.positions[row].map(|p| p.to_string()).join(",");
        let mask: String = rows
            .iter()
            .map(|&(m, r)| if visibility.may_attend(&layout.lanes[m].visibility[r]) { '#' } else { '·' })
            .collect();
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{:<6} {:<14} {:>9} {} {mask}",
            modalities[modality].name,
            name.chars().take(14).collect::<String>(),
            position,
            if has_loss { "loss" } else { "  — " },
        );
    }
    out
}
