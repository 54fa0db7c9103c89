//! The built binary, as a person meets it. Every test runs `interfuse` itself on a model so small that a step takes
//! milliseconds, and looks at nothing but what a person sees: exit codes, words, and files.

/// Where the tests run: a folder of images, a configuration, and ways to start the program.
mod fixture;

/// From a folder of images to a model, images, captions and numbers.
mod journey;

/// A configuration that fits images, minutes and this machine.
mod init;

/// An interrupted run ends with the same bytes as one that was left alone.
mod resume;

/// Run folders that are in use, begun and left, or of an earlier version.
mod run_folder;

/// Standard output that closes, and warnings in a log file.
mod output;

/// What a person may get wrong in a configuration or on the command line.
mod wrong_configuration;

/// Texts under the objective of CM3.
mod causal_masking;

/// Images, captions and data sets that are not as they should be.
mod wrong_data;

/// Checkpoints that are missing, torn, or of another model or program.
mod wrong_checkpoint;

/// Several processes that train one model.
mod ranks;

/// A disk that is full when a checkpoint is due.
mod full_disk;

/// Answers for scripts.
mod answers;

/// An autoencoder trained, used on files, and trained on.
mod autoencoder;

/// Images that are edited, and questions about them.
mod conversations;

/// Distances of sets of images.
mod fid;

/// Runs beside one another.
mod compare;

/// A page of what runs make.
mod gallery;

/// CLIP scores of a folder and of its export.
mod clip_score;

/// Images as codes of one vocabulary with the text.
mod chameleon;

/// A paper's comparison run again.
mod reproduce;

/// Clips to units and back.
mod speech;

/// Images in tars.
mod shards;
mod sizes;

/// Laws of scaling from a table to a page.
mod scaling;

/// A trained model behind the server.
mod serve;

/// Every preset in `configs/` loads, validates and builds.
mod presets;
