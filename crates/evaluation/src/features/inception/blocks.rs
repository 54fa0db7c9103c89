//! The blocks of Inception v3, named as torchvision names them.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use interfuse_kernels::ConvSteps;

use super::halved;
use crate::features::convolution::{Convolution, WeightsReader};

/// Added to the variance in every batch norm.
const EPSILON: f32 = 1e-3;

/// Convolution, batch norm (folded), ReLU.
pub(super) struct Conv(Convolution);

impl Conv {
    /// `padding` is that of rows and of columns.
    pub(super) fn new(
        reader: &mut WeightsReader<'_>,
        name: &str,
        shape: [usize; 4],
        stride: usize,
        [rows, columns]: [usize; 2],
    ) -> Self {
        let steps = ConvSteps { stride, padding: [[rows; 2], [columns; 2]] };
        let names = [format!("{name}.conv"), format!("{name}.bn")];
        Self(reader.folded([&names[0], &names[1]], shape, steps, EPSILON))
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        relu(self.0.forward(x))
    }
}

/// Convolutions one behind the other.
struct Chain(Vec<Conv>);

impl Chain {
    /// Each link is a name's end, the outputs, the kernel's height and width, and the stride; padding keeps the size where
    /// the stride is 1.
    fn new(reader: &mut WeightsReader<'_>, block: &str, mut inputs: usize, links: &[Link<'_>]) -> Self {
        let mut chain = Vec::with_capacity(links.len());
        for &(name, outputs, [height, width], stride) in links {
            let padding = if stride == 1 { [height / 2, width / 2] } else { [0, 0] };
            let shape = [outputs, inputs, height, width];
            chain.push(Conv::new(reader, &format!("{block}.{name}"), shape, stride, padding));
            inputs = outputs;
        }
        Self(chain)
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.0.iter().fold(x, |x, conv| conv.forward(x))
    }
}

type Link<'a> = (&'a str, usize, [usize; 2], usize);

/// The mean of every 3 × 3 places, the padding left out.
fn averaged(x: Tensor<4>) -> Tensor<4> {
    let options = AvgPoolOptions::new([3, 3]).with_stride([1, 1]).with_padding([1, 1]).with_count_include_pad(false);
    avg_pool2d(x, options)
}

/// `FIDInceptionA`: 35 × 35.
pub(super) struct BlockA {
    branches: [Chain; 3],
    pool: Chain,
}

impl BlockA {
    pub(super) fn new(reader: &mut WeightsReader<'_>, name: &str, inputs: usize, pooled: usize) -> Self {
        let mut chain = |links: &[Link<'_>]| Chain::new(reader, name, inputs, links);
        Self {
            branches: [
                chain(&[("branch1x1", 64, [1, 1], 1)]),
                chain(&[("branch5x5_1", 48, [1, 1], 1), ("branch5x5_2", 64, [5, 5], 1)]),
                chain(&[
                    ("branch3x3dbl_1", 64, [1, 1], 1),
                    ("branch3x3dbl_2", 96, [3, 3], 1),
                    ("branch3x3dbl_3", 96, [3, 3], 1),
                ]),
            ],
            pool: chain(&[("branch_pool", pooled, [1, 1], 1)]),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut parts: Vec<Tensor<4>> = self.branches.iter().map(|branch| branch.forward(x.clone())).collect();
        parts.push(self.pool.forward(averaged(x)));
        Tensor::cat(parts, 1)
    }
}

/// `InceptionB`: from 35 × 35 to 17 × 17.
pub(super) struct BlockB {
    branches: [Chain; 2],
}

impl BlockB {
    pub(super) fn new(reader: &mut WeightsReader<'_>, name: &str) -> Self {
        let mut chain = |links: &[Link<'_>]| Chain::new(reader, name, 288, links);
        Self {
            branches: [
                chain(&[("branch3x3", 384, [3, 3], 2)]),
                chain(&[
                    ("branch3x3dbl_1", 64, [1, 1], 1),
                    ("branch3x3dbl_2", 96, [3, 3], 1),
                    ("branch3x3dbl_3", 96, [3, 3], 2),
                ]),
            ],
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut parts: Vec<Tensor<4>> = self.branches.iter().map(|branch| branch.forward(x.clone())).collect();
        parts.push(halved(x));
        Tensor::cat(parts, 1)
    }
}

/// `FIDInceptionC`: 17 × 17.
pub(super) struct BlockC {
    branches: [Chain; 3],
    pool: Chain,
}

impl BlockC {
    pub(super) fn new(reader: &mut WeightsReader<'_>, name: &str, width: usize) -> Self {
        let mut chain = |links: &[Link<'_>]| Chain::new(reader, name, 768, links);
        Self {
            branches: [
                chain(&[("branch1x1", 192, [1, 1], 1)]),
                chain(&[
                    ("branch7x7_1", width, [1, 1], 1),
                    ("branch7x7_2", width, [1, 7], 1),
                    ("branch7x7_3", 192, [7, 1], 1),
                ]),
                chain(&[
                    ("branch7x7dbl_1", width, [1, 1], 1),
                    ("branch7x7dbl_2", width, [7, 1], 1),
                    ("branch7x7dbl_3", width, [1, 7], 1),
                    ("branch7x7dbl_4", width, [7, 1], 1),
                    ("branch7x7dbl_5", 192, [1, 7], 1),
                ]),
            ],
            pool: chain(&[("branch_pool", 192, [1, 1], 1)]),
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut parts: Vec<Tensor<4>> = self.branches.iter().map(|branch| branch.forward(x.clone())).collect();
        parts.push(self.pool.forward(averaged(x)));
        Tensor::cat(parts, 1)
    }
}

/// `InceptionD`: from 17 × 17 to 8 × 8.
pub(super) struct BlockD {
    branches: [Chain; 2],
}

impl BlockD {
    pub(super) fn new(reader: &mut WeightsReader<'_>, name: &str) -> Self {
        let mut chain = |links: &[Link<'_>]| Chain::new(reader, name, 768, links);
        Self {
            branches: [
                chain(&[("branch3x3_1", 192, [1, 1], 1), ("branch3x3_2", 320, [3, 3], 2)]),
                chain(&[
                    ("branch7x7x3_1", 192, [1, 1], 1),
                    ("branch7x7x3_2", 192, [1, 7], 1),
                    ("branch7x7x3_3", 192, [7, 1], 1),
                    ("branch7x7x3_4", 192, [3, 3], 2),
                ]),
            ],
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut parts: Vec<Tensor<4>> = self.branches.iter().map(|branch| branch.forward(x.clone())).collect();
        parts.push(halved(x));
        Tensor::cat(parts, 1)
    }
}

/// What pools before the last branch of a block E.
#[derive(Clone, Copy)]
pub(super) enum LastPool {
    Average,
    /// In the very last block, a slip of the original that the FID's numbers hang on.
    Maximum,
}

/// `FIDInceptionE_1` and `FIDInceptionE_2`: 8 × 8.
pub(super) struct BlockE {
    one: Chain,
    /// A chain, and the two that part behind it.
    forks: [(Chain, [Chain; 2]); 2],
    pool: Chain,
    last_pool: LastPool,
}

impl BlockE {
    pub(super) fn new(reader: &mut WeightsReader<'_>, name: &str, inputs: usize, last_pool: LastPool) -> Self {
        let mut chain = |inputs: usize, links: &[Link<'_>]| Chain::new(reader, name, inputs, links);
        Self {
            one: chain(inputs, &[("branch1x1", 320, [1, 1], 1)]),
            forks: [
                (
                    chain(inputs, &[("branch3x3_1", 384, [1, 1], 1)]),
                    [chain(384, &[("branch3x3_2a", 384, [1, 3], 1)]), chain(384, &[("branch3x3_2b", 384, [3, 1], 1)])],
                ),
                (
                    chain(inputs, &[("branch3x3dbl_1", 448, [1, 1], 1), ("branch3x3dbl_2", 384, [3, 3], 1)]),
                    [
                        chain(384, &[("branch3x3dbl_3a", 384, [1, 3], 1)]),
                        chain(384, &[("branch3x3dbl_3b", 384, [3, 1], 1)]),
                    ],
                ),
            ],
            pool: chain(inputs, &[("branch_pool", 192, [1, 1], 1)]),
            last_pool,
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut parts = vec![self.one.forward(x.clone())];
        for (stem, ends) in &self.forks {
            let stem = stem.forward(x.clone());
            parts.extend(ends.iter().map(|end| end.forward(stem.clone())));
        }
        let pooled = match self.last_pool {
            LastPool::Average => averaged(x),
            LastPool::Maximum => max_pool2d(x, MaxPoolOptions::new([3, 3]).with_stride([1, 1]).with_padding([1, 1])),
        };
        parts.push(self.pool.forward(pooled));
        Tensor::cat(parts, 1)
    }
}
