//! Four phenomena of training two modalities together (Aghajanyan et al. 2023, arXiv 2301.03728, section 5), as measurements.
//!
//! | what the paper saw | measured here as |
//! |---|---|
//! | *intermittent coordinate ascent*: the mean loss falls smoothly while one modality stands still | [`coordinate_ascent()`]: the fraction of records at which a modality is flat while another falls |
//! | its rate falls with N and rises with α of the pair's interaction | [`associations()`]: its correlation with ln N and with α |
//! | the best batch size of a pair goes with β, not with α | [`best_batch()`]: the bottom of a parabola in ln batch; its correlation with β and α |
//! | spikes of the gradient norm go with ln N / α | [`spikes()`]: records above k times the running median; their correlation with ln N / α |
//!
//! The paper says in words what it counts, not by which thresholds, so that thresholds are settings here and belong in a report.
//! [`sign_alternation`] says how often two modalities take turns.
//! [`AscentWatch`] and [`SpikeWatch`] count the same record by record, while a run is going on; the other two phenomena are of
//! many runs and their laws.

mod ascent_watch;
mod associations;
mod best_batch;
mod coordinate_ascent;
mod correlation;
mod spikes;

pub use ascent_watch::{AscentWatch, RECENT, Standing};
pub use associations::{Association, PairRun, associations};
pub use best_batch::{BestBatch, best_batch};
pub use coordinate_ascent::{Ascent, AscentSettings, ModalityAscent, Trace, coordinate_ascent, sign_alternation};
pub use correlation::{Correlation, Kind, correlation};
pub use spikes::{SpikeSettings, SpikeWatch, Spikes, spikes};
