//! What a sequence looks like: the mask, positions, targets and packing.
//!
//! Reference cases E1 and E2: the mask and the positions of public implementations for one image in a sequence.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use interfuse_sequence::drawing::draw_mask;
use interfuse_sequence::{
    LaneContent, LatentImage, LayoutBuilder, Modality, Objective, PositionScheme, RowShape, Sample, Segment,
    SequenceFormat, SequenceLayout,
};
use interfuse_tests::*;
use ndarray::Array3;
use proptest::prelude::*;
use std::sync::Arc;

/// Text in lane 0 and images of `patches` rows in lane 1.
fn format(patches: usize, positions: PositionScheme) -> Arc<SequenceFormat> {
    Arc::new(SequenceFormat {
        modalities: vec![
            Modality { name: "text".into(), objective: Objective::NextToken, tower: 0 },
            Modality { name: "image".into(), objective: Objective::Denoise, tower: 1 },
        ],
        latent_shape: [1, 1, patches],
        patch_size: 1,
        positions,
    })
}

fn tokens(count: usize) -> Segment {
    Segment::tokens(0, (0..count as u32).collect())
}

fn blank(patches: usize) -> Segment {
    let image = LatentImage { x_0: Arc::new(Array3::zeros((1, 1, patches))), precedes_caption: false };
    Segment::image(1, image)
}

fn lay_out(format: &Arc<SequenceFormat>, segments: Vec<Segment>) -> SequenceLayout {
    let shape = RowShape { capacity: vec![32, 32] };
    let mut builder = LayoutBuilder::new(format.clone());
    builder.push_sample(&Sample { id: 0, segments }, &shape).unwrap();
    builder.finish(&shape)
}

/// The mask in reading order, one string a row.
fn mask(layout: &SequenceLayout) -> Vec<String> {
    let rows = layout.reading_order();
    let visibility = |&(lane, row): &(usize, usize)| layout.lanes[lane].visibility[row];
    let line =
        |row| rows.iter().map(|key| if visibility(row).may_attend(&visibility(key)) { '1' } else { '0' }).collect();
    rows.iter().map(line).collect()
}

fn positions(layout: &SequenceLayout) -> Vec<[i32; 3]> {
    layout.reading_order().iter().map(|&(lane, row)| layout.lanes[lane].positions[row]).collect()
}

#[test]
fn ids_that_are_not_predicted_are_nobodys_target() {
    let format = format(1, PositionScheme::Sequential);
    let document = |masks: &dyn Fn(Vec<u32>) -> Segment| {
        let segments =
            vec![Segment::tokens(0, vec![1, 2]), masks(vec![7]), Segment::tokens(0, vec![3]), masks(vec![8, 9])];
        lay_out(&format, segments)
    };
    let masked = document(&|ids| Segment::tokens(0, ids).with_given(true));
    let LaneContent::NextToken { ids, targets } = &masked.lanes[0].content else { panic!("ids") };
    assert_eq!(ids[..6], [1, 2, 7, 3, 8, 9]);
    assert_eq!(targets[..6], [Some(2), None, Some(3), None, None, None]);
    // Nothing else about them is other: who sees whom, and where they stand.
    let plain = document(&|ids| Segment::tokens(0, ids));
    assert_eq!((mask(&masked), positions(&masked)), (mask(&plain), positions(&plain)));
    assert_eq!((masked.targets(0), plain.targets(0)), (2, 5));
}

/// `naive_attn_mask` of transfusion-pytorch for modalities `[[0, 3, 4]]` in a sequence of 10.
#[test]
fn one_image_is_bidirectional_within_and_causal_outside() {
    let layout = lay_out(&format(4, PositionScheme::Shared), vec![tokens(3), blank(4), tokens(3)]);
    let expected = [
        "1000000000",
        "1100000000",
        "1110000000",
        "1111111000",
        "1111111000",
        "1111111000",
        "1111111000",
        "1111111100",
        "1111111110",
        "1111111111",
    ];
    assert_eq!(mask(&layout), expected);
}

/// Show-o2's sample: sequences of 20 with an image at (3, 8), and with images at (0, 5) and (10, 15 − 10).
#[test]
fn an_image_may_open_a_sequence_and_several_may_follow() {
    let layout = lay_out(&format(5, PositionScheme::Shared), vec![blank(5), tokens(5), blank(5), tokens(5)]);
    let rows = mask(&layout);
    for (i, row) in rows.iter().enumerate() {
        for (j, seen) in row.chars().enumerate() {
            let block = |k: usize| [(0, 5), (10, 15)].iter().position(|&(from, until)| (from..until).contains(&k));
            let expected = j <= i || (block(i).is_some() && block(i) == block(j));
            assert_eq!(seen == '1', expected, "row {i}, key {j}");
        }
    }
}

/// `derive_rotary_positions_from_modality_positions` of transfusion-pytorch: an image at 3 of length 4 in a sequence of 10.
#[test]
fn patches_share_a_position_or_count_on_or_have_axes() {
    let segments = || vec![tokens(3), blank(4), tokens(3)];
    let first = |scheme| positions(&lay_out(&format(4, scheme), segments())).iter().map(|p| p[0]).collect::<Vec<_>>();
    assert_eq!(first(PositionScheme::Shared), [0, 1, 2, 3, 3, 3, 3, 4, 5, 6]);
    assert_eq!(first(PositionScheme::Sequential), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);

    let axial = positions(&lay_out(&format(4, PositionScheme::Axial), segments()));
    assert_eq!(axial[3..7], [[3, 3, 3], [3, 3, 4], [3, 3, 5], [3, 3, 6]]);
    assert_eq!(axial[7], [7, 7, 7], "what follows stands beyond the image's longest side");
}

#[test]
fn each_token_predicts_the_next_but_not_across_an_image_and_not_from_boi() {
    let config = mot_config();
    let layout = pack(&config, &[caption_first(0, &[7, 8]), text_only(1, &[9])], &row_shape(1, 16));
    let LaneContent::NextToken { ids, targets } = &layout.lanes[TEXT].content else { panic!("text") };
    assert_eq!(ids[..9], [BOS, 7, 8, BOI, EOI, EOS, BOS, 9, EOS]);
    let none = None::<u32>;
    let expected = [Some(7), Some(8), Some(BOI), none, Some(EOS), none, Some(9), Some(EOS), none];
    assert_eq!(targets[..9], expected);
    assert!(targets[9..].iter().all(Option::is_none), "padding has no target");
}

#[test]
fn what_is_given_is_predicted_by_nobody_and_seen_by_all_that_follows() {
    let format = format(4, PositionScheme::Sequential);
    let question = vec![blank(4).with_given(true), tokens(3).with_given(true), tokens(2)];
    let layout = lay_out(&format, question);
    let LaneContent::NextToken { targets, .. } = &layout.lanes[0].content else { panic!("text") };
    let LaneContent::Denoise { spans, .. } = &layout.lanes[1].content else { panic!("images") };
    let learned: Vec<bool> = targets.iter().map(Option::is_some).collect();
    assert_eq!(
        learned[..5],
        [false, false, true, true, false],
        "the last row of the question says how the answer begins"
    );
    assert!(spans.iter().flatten().all(|span| span.given));
    let free = lay_out(&format, vec![blank(4), tokens(3), tokens(2)]);
    assert_eq!(mask(&layout), mask(&free));
}

#[test]
fn a_sample_that_does_not_fit_leaves_the_sequence_as_it_was() {
    let config = mot_config();
    let shape = row_shape(1, 10);
    let mut builder = LayoutBuilder::new(config.sequence_format());
    builder.push_sample(&caption_first(0, &[7]), &shape).unwrap();
    let before = builder.clone().finish(&shape);
    let message = builder.push_sample(&caption_first(1, &[7]), &shape).unwrap_err().to_string();
    assert!(message.contains("0 free rows of 6") && message.contains("needs 6"), "{message}");
    let message = builder.push_sample(&text_only(2, &[4; 9]), &shape).unwrap_err().to_string();
    assert!(message.contains("5 free rows of 10"), "{message}");
    assert_eq!(mask(&before), mask(&builder.finish(&shape)));
}

#[test]
fn foreign_segments_are_named() {
    let config = mot_config();
    let shape = row_shape(1, 16);
    let refused = |segment| {
        let mut builder = LayoutBuilder::new(config.sequence_format());
        builder.push_sample(&Sample { id: 0, segments: vec![segment] }, &shape).unwrap_err().to_string()
    };
    assert!(refused(Segment::tokens(IMAGE, vec![1])).contains("names modality 0 as ids"));
    assert!(refused(Segment::tokens(7, vec![1])).contains("only 2 modalities"));
    let image = LatentImage { x_0: Arc::new(Array3::zeros((2, 4, 4))), precedes_caption: false };
    let message = refused(Segment::image(IMAGE, image));
    assert!(message.contains("[2, 4, 4]") && message.contains("[2, 4, 6]"), "{message}");
}

#[test]
fn the_drawing_shows_what_a_row_sees() {
    let config = mot_config();
    let layout = pack(&config, &[caption_first(0, &[7])], &row_shape(1, 16));
    let drawing = draw_mask(&layout, &config.modalities(), &|_, id| format!("token {id}"));
    let lines: Vec<&str> = drawing.lines().collect();
    assert_eq!(lines.len(), 11);
    assert!(lines[0].starts_with("text") && lines[0].contains("token 0") && lines[0].ends_with("#··········"));
    assert!(lines[3].starts_with("image") && lines[3].contains("patch 0") && lines[3].ends_with("#########··"));
    assert!(lines[2].contains('—'), "BOI has no target");
}

fn any_segments() -> impl Strategy<Value = Vec<Vec<Segment>>> {
    let segment = prop_oneof![(1usize..5).prop_map(tokens), Just(()).prop_map(|()| blank(3))];
    let segment = (segment, 0..3).prop_map(|(segment, hidden)| Segment { hidden: hidden == 0, ..segment });
    proptest::collection::vec(proptest::collection::vec(segment, 1..5), 1..4)
}

proptest! {
    /// For any packing: a row sees its document up to itself, or to the end of its image, but no hidden segment other than its own.
    #[test]
    fn visibility_is_causal_or_within_one_image_and_within_one_document(documents in any_segments()) {
        let format = format(3, PositionScheme::Sequential);
        let shape = RowShape { capacity: vec![64, 48] };
        let mut builder = LayoutBuilder::new(format);
        // For every row in reading order its document, its segment, whether it is an image, and whether it is hidden.
        let mut truth = vec![];
        let mut number = 0;
        for (id, segments) in documents.iter().enumerate() {
            builder.push_sample(&Sample { id: id as u64, segments: segments.clone() }, &shape).unwrap();
            for segment in segments {
                let (rows, is_image) = segment.ids().map_or((3, true), |ids| (ids.len(), false));
                truth.extend(std::iter::repeat_n((id, number, is_image, segment.hidden), rows));
                number += 1;
            }
        }
        let rows = mask(&builder.finish(&shape));
        prop_assert_eq!(rows.len(), truth.len());
        for (i, row) in rows.iter().enumerate() {
            for (j, seen) in row.chars().enumerate() {
                let same_segment = truth[i].1 == truth[j].1;
                let before = j <= i || (truth[i].2 && same_segment);
                let expected = truth[i].0 == truth[j].0 && before && (same_segment || !truth[j].3);
                prop_assert_eq!(seen == '1', expected, "row {} key {}", i, j);
            }
        }
    }
}
