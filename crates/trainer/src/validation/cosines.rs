//! How far the losses of two modalities pull the weights that both reach the same way: the cosine of their gradients, the fourth
//! phenomenon of mixed-modal training (Aghajanyan et al., 2301.03728, section 6). 1 is the same way, −1 is one at the expense of
//! the other.

use interfuse_image_tower::TimestepChoice;
use interfuse_kernels::with_activation_checkpointing;
use interfuse_mot::CacheUse;
use interfuse_sequence::SequenceLayout;
use interfuse_transfusion::{Normalizer, ObjectiveConfig, TrainBatch, Transfusion, hybrid_loss};

use super::Pass;
use crate::error::TrainError;
use crate::optimization::gradients::read_numbers;
use crate::optimization::{FlatGradients, tape};

/// The cosine of each two modalities that have a loss in the first batch of the documents, by their names: `image_text`.
pub(super) fn gradient_cosines(pass: &Pass<'_>, layouts: &[SequenceLayout]) -> Result<Vec<(String, f64)>, TrainError> {
    let of_one_size =
        layouts.chunk_by(|one, next| one.latent_shape() == next.latent_shape()).next().unwrap_or_default();
    let layouts = &of_one_size[..of_one_size.len().min(pass.sequences.max(1))];
    let device = pass.device.clone().autodiff();
    let batch = TrainBatch::new(layouts, pass.config, pass.key, TimestepChoice::Sampled, &device);
    let lanes = pass.config.modalities.keys().enumerate();
    let mut gradients: Vec<(&str, FlatGradients)> =
        lanes.filter_map(|(lane, name)| Some((name.as_str(), gradient_of(pass.model, &batch, lane)?))).collect();
    let mut found = vec![];
    while let Some((name, one)) = gradients.pop() {
        for (other_name, other) in &gradients {
            if let Some(cosine) = cosine(&one, other)? {
                found.push((format!("{other_name}_{name}"), cosine));
            }
        }
    }
    Ok(found)
}

/// The gradient of one lane's loss; `None` where it has no target. It is to fit where any step fits, and is seldom asked for, so
/// layers are computed again.
fn gradient_of(model: &Transfusion, batch: &TrainBatch, lane: usize) -> Option<FlatGradients> {
    with_activation_checkpointing(true, || backward(model, batch, lane))
}

fn backward(model: &Transfusion, batch: &TrainBatch, lane: usize) -> Option<FlatGradients> {
    let model = tape::on_a_tape(model);
    let predictions = model.forward(batch.input(), CacheUse::None);
    let mut loss = hybrid_loss(&model, &predictions, batch, &ObjectiveConfig::default(), &Normalizer::of(batch));
    let sum = loss.modalities.get_mut(lane)?.take().filter(|loss| loss.count > 0)?.sum;
    Some(FlatGradients::of(&model, sum.backward(), |_| None))
}

/// The cosine over the weights that both reach; `None` if there are none, or one of the gradients is zero there.
fn cosine(one: &FlatGradients, other: &FlatGradients) -> Result<Option<f64>, TrainError> {
    let mut products = vec![];
    for name in one.names() {
        let (Some(a), Some(b)) = (one.get(name), other.get(name)) else { continue };
        products.extend([(a.clone() * b.clone()).sum(), a.square().sum(), b.square().sum()]);
    }
    if products.is_empty() {
        return Ok(None);
    }
    let mut sums = [0.0f64; 3];
    for (index, number) in read_numbers(products)?.into_iter().enumerate() {
        sums[index % 3] += f64::from(number);
    }
    let [dot, one, other] = sums;
    Ok((one > 0.0 && other > 0.0).then(|| dot / (one * other).sqrt()))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    fn gradients(weights: &[(&str, [f32; 2])]) -> FlatGradients {
        let mut all = FlatGradients::default();
        for (name, values) in weights {
            all.put(name.to_string(), None, Tensor::from_floats(*values, &Device::flex()));
        }
        all
    }

    #[test]
    fn what_only_one_reaches_does_not_count() {
        let text = gradients(&[("shared", [3.0, 0.0]), ("head", [100.0, 1.0])]);
        let image = gradients(&[("shared", [0.5, 0.5]), ("patches", [7.0, 7.0])]);
        let found = cosine(&text, &image).unwrap().unwrap();
        assert!((found - 0.5f64.sqrt()).abs() < 1e-6, "{found}");
        let against = gradients(&[("shared", [-1.0, 0.0])]);
        assert!((cosine(&text, &against).unwrap().unwrap() + 1.0).abs() < 1e-6);
    }

    #[test]
    fn without_common_weights_or_with_a_gradient_of_zero_there_is_none() {
        let text = gradients(&[("head", [1.0, 1.0])]);
        assert_eq!(cosine(&text, &gradients(&[("patches", [1.0, 1.0])])).unwrap(), None);
        assert_eq!(cosine(&text, &gradients(&[("head", [0.0, 0.0])])).unwrap(), None);
    }
}
