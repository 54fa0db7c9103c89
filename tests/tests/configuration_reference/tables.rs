//! The tables of both configurations in their order, and the enums of words that their keys take.

use interfuse_checkpoint::OtherParts;
use interfuse_corpora::CorpusConfig;
use interfuse_data::conversations::{ConversationSource, SceneAttribute};
use interfuse_data::mixture::{ContentConfig, MixtureConfig, MixtureUnit};
use interfuse_data::sources::emoji::EmojiHeldOut;
use interfuse_data::sources::shards::ShardOrder;
use interfuse_data::{BucketsConfig, DataConfig, DocumentConfig, Fit, SourceConfig};
use interfuse_image_tower::{
    NoiseProcess, PredictionTarget, TimestepConditioning, TimestepDistribution, TimestepSampling, TimestepSpacing,
    UNetConfig,
};
use interfuse_mot::{
    BackboneConfig, BalanceScope, FeedForwardConfig, NormPlacement, PartConfig, RopeScaling, Routing, WeightKind,
};
use interfuse_run::autoencoder::{VaeSettings, ValidationImages};
use interfuse_run::settings::{PreviewSettings, RunSettings, Settings, StartSettings, TokenizerSettings};
use interfuse_sampling::{SamplingConfig, Solver};
use interfuse_sequence::{PositionScheme, RowShape};
use interfuse_shards::Layout;
use interfuse_shards::layouts::MissingImages;
use interfuse_speech::clips::ClipSource;
use interfuse_trainer::autoencoder::{ArchitectureConfig, AutoencoderLossConfig, AutoencoderTrainConfig};
use interfuse_trainer::autoencoder::{CodebookConfig, DiscriminatorConfig, PerceptualConfig};
use interfuse_trainer::{
    IntervalConfig, MatrixOptimizer, OptimizerConfig, PartOptimizerConfig, Schedule, TrainConfig, TrainPrecision,
    ValidationConfig,
};
use interfuse_transfusion::{ImageAveraging, ModalityConfig, ModelConfig, ObjectiveConfig};
use interfuse_vae::CodecConfig;
use interfuse_vae::loss::ReconstructionLoss;

use crate::settings::{Choice, Table};

const RUN: &str = "run = { dir = \"runs/name\" }";
const STEPS: [&str; 2] = ["steps = 1", "batch_size = 1"];
const TRAIN: &str = "train = { steps = 1, batch_size = 1 }";
const BACKBONE: &str = "backbone = { d_model = 8, n_layers = 1, n_heads = 1 }";

/// The whole configuration of `interfuse train`.
pub(crate) fn train() -> Table {
    let model = format!("model = {{ partition = [], {BACKBONE}, modalities = {{}} }}");
    Table::of::<Settings>("interfuse train", &[RUN, "data = {}", &model, TRAIN])
}

/// Its tables.
pub(crate) fn train_tables() -> Vec<Table> {
    let mut tables = vec![Table::of::<RunSettings>("[run]", &["dir = \"runs/name\""])];
    tables.extend(data_tables());
    tables.extend([
        Table::of::<DocumentConfig>("[documents]", &[]),
        Table::of::<TokenizerSettings>("[tokenizer]", &[]),
        Table::kind::<CodecConfig>("[codec]", ["kind", "vae"], "VaeCodecConfig", &["path = \"vae\""]),
    ]);
    tables.extend(model_tables());
    tables.extend([
        Table::of::<ObjectiveConfig>("[objective]", &[]),
        Table::of::<OptimizerConfig>("[optimizer]", &[]),
        Table::of::<PartOptimizerConfig>("[optimizer.parts.NAME]", &[]),
        Table::of::<TrainConfig>("[train]", &STEPS),
        Table::of::<RowShape>("[train.row_shape]", &["capacity = []"]),
        Table::of::<IntervalConfig>("[intervals]", &[]),
        Table::of::<ValidationConfig>("[validation]", &[]),
        Table::of::<SamplingConfig>("[sampling]", &[]),
        Table::of::<PreviewSettings>("[preview]", &[]),
    ]);
    tables
}

fn data_tables() -> Vec<Table> {
    let source = |kind, docs, needed| Table::kind::<SourceConfig>("[data.source]", ["kind", kind], docs, needed);
    let conversations = |kind, docs, needed| {
        Table::kind::<ConversationSource>("[data.mixture.content.source]", ["kind", kind], docs, needed)
    };
    let layout = |kind, docs| Table::kind::<Layout>("[data.mixture.content.source.layout]", ["kind", kind], docs, &[]);
    let tables = vec![
        Table::of::<DataConfig>("[data]", &[]),
        Table::of::<BucketsConfig>("[data.buckets]", &[]),
        source("folder", "FolderConfig", &["path = \"images\""]),
        source("shards", "ShardsConfig", &["shards = []"]),
        source("emoji", "EmojiConfig", &[]),
        source("fashion-mnist", "FashionMnistConfig", &[]),
        source("shapes", "ShapesConfig", &[]),
        source("noise", "NoiseConfig", &[]),
        Table::of::<MixtureConfig>("[[data.mixture]]", &["name = \"name\"", "content = { kind = \"images\" }"]),
        Table::kind::<ContentConfig>("[data.mixture.content]", ["kind", "speech"], "SpeechConfig", &[]),
        Table::kind::<ContentConfig>(
            "[data.mixture.content]",
            ["kind", "texts"],
            "TextsConfig",
            &["corpus = { kind = \"rust-books\" }"],
        ),
        Table::kind::<ContentConfig>(
            "[data.mixture.content]",
            ["kind", "conversations"],
            "ConversationsConfig",
            &["source = { kind = \"shape-edits\" }"],
        ),
        conversations("files", "ConversationFilesConfig", &["files = []", "layout = { kind = \"edit\" }"]),
        layout("edit", "EditLayout"),
        layout("conversation", "ConversationLayout"),
        layout("obelics", "ObelicsLayout"),
        layout("mmc4", "Mmc4Layout"),
        conversations("shape-edits", "ShapeEditsConfig", &[]),
        conversations("shape-questions", "ShapeQuestionsConfig", &[]),
    ];
    tables
}

fn model_tables() -> Vec<Table> {
    let modality = |objective, docs, needed| {
        Table::kind::<ModalityConfig>("[model.modalities.NAME]", ["objective", objective], docs, needed)
    };
    vec![
        Table::of::<ModelConfig>("[model]", &["partition = []", BACKBONE, "modalities = {}"]),
        Table::of::<BackboneConfig>("[model.backbone]", &["d_model = 8", "n_layers = 1", "n_heads = 1"]),
        Table::kind::<FeedForwardConfig>(
            "[model.backbone.feed_forward]",
            ["kind", "moe"],
            "MoeConfig",
            &["experts = 1"],
        ),
        Table::of::<PartConfig>("[model.backbone.parts.NAME]", &[]),
        Table::of::<StartSettings>("[start]", &["language_model = \"folder\""]),
        modality("next_token", "TextTowerConfig", &[]),
        modality("denoise", "ImageTowerConfig", &["patch_size = 2"]),
        Table::of::<TimestepSampling>("[model.modalities.NAME.timesteps]", &[]),
        Table::of::<UNetConfig>("[model.modalities.NAME.unet]", &["widths = []"]),
    ]
}

/// The whole configuration of `interfuse vae train`.
pub(crate) fn vae_train() -> Table {
    let needed = [RUN, "data = {}", "vae = { block_out_channels = [32] }", TRAIN];
    Table::of::<VaeSettings>("interfuse vae train", &needed)
}

/// Its tables, but for those that `interfuse train` has as well.
pub(crate) fn vae_tables() -> Vec<Table> {
    let perceptual =
        |kind, docs, needed| Table::kind::<PerceptualConfig>("[loss.perceptual]", ["kind", kind], docs, needed);
    vec![
        Table::of::<ArchitectureConfig>("[vae]", &["block_out_channels = [32]"]),
        Table::of::<CodebookConfig>("[vae.codebook]", &["codes = 2"]),
        Table::of::<AutoencoderLossConfig>("[loss]", &[]),
        perceptual("pyramid", "PerceptualConfig::Pyramid", &[]),
        perceptual("lpips", "PerceptualConfig::Lpips", &["vgg = \"vgg16.pth\"", "heads = \"vgg.pth\""]),
        Table::of::<DiscriminatorConfig>("[loss.discriminator]", &["from_step = 0"]),
        Table::of::<AutoencoderTrainConfig>("[train]", &STEPS),
        Table::of::<ValidationImages>("[validation]", &[]),
    ]
}

/// Every enum of words.
pub(crate) fn choices() -> Vec<Choice> {
    vec![
        Choice::tagged::<SourceConfig>("kind"),
        Choice::of::<Fit>(),
        Choice::of::<ImageAveraging>(),
        Choice::of::<ShardOrder>(),
        Choice::of::<EmojiHeldOut>(),
        Choice::tagged::<ContentConfig>("kind"),
        Choice::of::<MixtureUnit>(),
        Choice::tagged::<ConversationSource>("kind"),
        Choice::of::<SceneAttribute>(),
        Choice::tagged::<Layout>("kind"),
        Choice::of::<MissingImages>(),
        Choice::tagged::<ClipSource>("kind"),
        Choice::tagged::<CorpusConfig>("kind"),
        Choice::tagged::<RopeScaling>("kind"),
        Choice::of::<OtherParts>(),
        Choice::tagged::<CodecConfig>("kind"),
        Choice::of::<PositionScheme>(),
        Choice::of::<NormPlacement>(),
        Choice::tagged::<FeedForwardConfig>("kind"),
        Choice::of::<Routing>(),
        Choice::of::<BalanceScope>(),
        Choice::of::<WeightKind>(),
        Choice::tagged::<ModalityConfig>("objective"),
        Choice::of::<NoiseProcess>(),
        Choice::of::<PredictionTarget>(),
        Choice::of::<TimestepConditioning>(),
        Choice::of::<TimestepDistribution>(),
        Choice::of::<TrainPrecision>(),
        Choice::of::<Schedule>(),
        Choice::of::<MatrixOptimizer>(),
        Choice::of::<Solver>(),
        Choice::of::<TimestepSpacing>(),
        Choice::of::<ReconstructionLoss>(),
        Choice::tagged::<PerceptualConfig>("kind"),
    ]
}
