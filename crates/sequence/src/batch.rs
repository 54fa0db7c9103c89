//! Sequences of one row shape, on the device.
//!
//! Dimensions: `B` sequences, `S` rows of a lane, `N` image slots of a lane, `C × H × W` latents of an image.

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::layout::{LaneContent, LaneLayout, SequenceLayout, Span};
use crate::visibility::Visibility;

/// A batch; made once, on the way from the host to the device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// By modality; `None` for a lane without rows.
    pub lanes: Vec<Option<LaneBatch>>,
    /// Number of sequences.
    pub size: usize,
    /// Rows of all lanes that are not padding.
    pub filled: usize,
}

/// One lane of all sequences.
#[derive(Clone, Debug)]
pub struct LaneBatch {
    /// Where the rows stand and what they see.
    pub geometry: RowGeometry,
    /// What they hold.
    pub content: LaneRows,
    /// Rows of all sequences that are not padding.
    pub filled: usize,
}

/// Where rows stand and what they see.
#[derive(Clone, Debug)]
pub struct RowGeometry {
    /// Place in reading order. `[B, S]`
    pub order: Tensor<2, Int>,
    /// First place seen. `[B, S]`
    pub visible_from: Tensor<2, Int>,
    /// One past the last place seen. `[B, S]`
    pub visible_until: Tensor<2, Int>,
    /// The first place that does not see the row; `None` where no row is hidden. `[B, S]`
    pub hidden_from: Option<Tensor<2, Int>>,
    /// Rotary positions. `[B, S, 3]`
    pub positions: Tensor<3>,
}

/// What the rows of a lane hold.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // There are as many as modalities.
pub enum LaneRows {
    /// Ids and their targets.
    NextToken(TokenRows),
    /// Images.
    Denoise(LatentRows),
}

/// Rows of a next-token modality.
#[derive(Clone, Debug)]
pub struct TokenRows {
    /// `[B, S]`
    pub ids: Tensor<2, Int>,
    /// 0 where a row has none. `[B, S]`
    pub targets: Tensor<2, Int>,
    /// 1 for a row with a target, else 0. `[B, S]`
    pub weights: Tensor<2>,
    /// Number of rows with a target.
    pub count: usize,
}

/// Rows of a denoise modality. The latents themselves come with their noise, which only the image tower samples.
#[derive(Clone, Debug)]
pub struct LatentRows {
    /// By sequence and slot.
    pub spans: Vec<Vec<Option<Span>>>,
    /// `[latent_channels, height, width]` of every image: a batch has images of one size.
    pub latent_shape: [usize; 3],
    /// Rows of an image.
    pub rows_per_image: usize,
    /// Number of images that are there.
    pub images: usize,
}

impl Batch {
    /// Puts sequences of one row shape on a device. Shorter lanes are padded to the longest.
    pub fn new(layouts: &[SequenceLayout], device: &Device) -> Self {
        let modalities = layouts.first().map_or(0, |layout| layout.lanes.len());
        let lanes = (0..modalities).map(|modality| {
            let rows = layouts.iter().map(|layout| layout.lanes[modality].len()).max().unwrap_or(0);
            (rows > 0).then(|| {
                let lanes: Vec<LaneLayout> = layouts
                    .iter()
                    .map(|layout| {
                        let mut lane = layout.lanes[modality].clone();
                        lane.pad_to(rows);
                        lane
                    })
                    .collect();
                LaneBatch::new(&lanes, rows, device)
            })
        });
        let lanes: Vec<Option<LaneBatch>> = lanes.collect();
        let filled = lanes.iter().flatten().map(|lane| lane.filled).sum();
        Self { lanes, size: layouts.len(), filled }
    }

    /// Rows with a target in the next-token lane `modality`.
    pub fn targets(&self, modality: usize) -> usize {
        match &self.lanes[modality] {
            Some(LaneBatch { content: LaneRows::NextToken(rows), .. }) => rows.count,
            _ => 0,
        }
    }

    /// Rows of the lane `modality` that are not padding.
    pub fn filled(&self, modality: usize) -> usize {
        self.lanes[modality].as_ref().map_or(0, |lane| lane.filled)
    }

    /// Images of the denoise lane `modality`.
    pub fn images(&self, modality: usize) -> usize {
        match &self.lanes[modality] {
            Some(LaneBatch { content: LaneRows::Denoise(rows), .. }) => rows.images,
            _ => 0,
        }
    }
}

impl LaneBatch {
    fn new(lanes: &[LaneLayout], rows: usize, device: &Device) -> Self {
        Self {
            geometry: RowGeometry::new(lanes, rows, device),
            content: LaneRows::new(lanes, rows, device),
            filled: lanes.iter().map(LaneLayout::filled).sum(),
        }
    }
}

impl RowGeometry {
    fn new(lanes: &[LaneLayout], rows: usize, device: &Device) -> Self {
        let ints = |value: fn(&Visibility) -> i32| {
            let values: Vec<i32> = lanes.iter().flat_map(|lane| lane.visibility.iter().map(value)).collect();
            int_tensor(values, [lanes.len(), rows], device)
        };
        let mut visibility = lanes.iter().flat_map(|lane| &lane.visibility);
        let are_hidden = visibility.any(|row| row.hidden_from != Visibility::NOBODY);
        let positions: Vec<f32> =
            lanes.iter().flat_map(|lane| lane.positions.iter().flatten().map(|&p| p as f32)).collect();
        Self {
            order: ints(|row| row.order),
            visible_from: ints(|row| row.from),
            visible_until: ints(|row| row.until),
            hidden_from: are_hidden.then(|| ints(|row| row.hidden_from)),
            positions: Tensor::from_data(TensorData::new(positions, [lanes.len(), rows, 3]), device),
        }
    }

    /// Rows of several lanes side by side.
    pub fn cat(parts: &[&RowGeometry]) -> Self {
        let ints = |field: fn(&RowGeometry) -> &Tensor<2, Int>| {
            Tensor::cat(parts.iter().map(|part| field(part).clone()).collect(), 1)
        };
        Self {
            order: ints(|part| &part.order),
            visible_from: ints(|part| &part.visible_from),
            visible_until: ints(|part| &part.visible_until),
            hidden_from: Self::cat_hidden(parts),
            positions: Tensor::cat(parts.iter().map(|part| part.positions.clone()).collect(), 1),
        }
    }

    /// [`RowGeometry::hidden_from`] of rows of several lanes or parts side by side.
    pub fn cat_hidden(parts: &[&RowGeometry]) -> Option<Tensor<2, Int>> {
        let nobody = |part: &RowGeometry| part.order.full_like(Visibility::NOBODY);
        let of_part = |part: &&RowGeometry| part.hidden_from.clone().unwrap_or_else(|| nobody(part));
        let are_hidden = parts.iter().any(|part| part.hidden_from.is_some());
        are_hidden.then(|| Tensor::cat(parts.iter().map(of_part).collect(), 1))
    }
}

impl LaneRows {
    fn new(lanes: &[LaneLayout], rows: usize, device: &Device) -> Self {
        let shape = [lanes.len(), rows];
        let (mut all_ids, mut all_targets, mut weights) = (vec![], vec![], vec![]);
        let (mut all_spans, mut size) = (vec![], ([0; 3], 0));
        for lane in lanes {
            match &lane.content {
                LaneContent::NextToken { ids, targets } => {
                    all_ids.extend(ids.iter().map(|&id| id as i32));
                    all_targets.extend(targets.iter().map(|target| target.unwrap_or(0) as i32));
                    weights.extend(targets.iter().map(|target| if target.is_some() { 1.0f32 } else { 0.0 }));
                }
                LaneContent::Denoise { latent_shape, rows_per_image, spans } => {
                    size = (*latent_shape, *rows_per_image);
                    all_spans.push(spans.clone());
                }
            }
        }
        if all_spans.is_empty() {
            let count = weights.iter().filter(|&&weight| weight > 0.0).count();
            Self::NextToken(TokenRows {
                ids: int_tensor(all_ids, shape, device),
                targets: int_tensor(all_targets, shape, device),
                weights: Tensor::from_data(TensorData::new(weights, shape), device),
                count,
            })
        } else {
            let images = all_spans.iter().flatten().flatten().count();
            let (latent_shape, rows_per_image) = size;
            Self::Denoise(LatentRows { spans: all_spans, latent_shape, rows_per_image, images })
        }
    }
}

fn int_tensor(values: Vec<i32>, shape: [usize; 2], device: &Device) -> Tensor<2, Int> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
