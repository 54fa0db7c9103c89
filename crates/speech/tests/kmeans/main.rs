//! k-means against scikit-learn's inertia, and what it must be a function of.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use interfuse_speech::kmeans::{Clustering, KmeansConfig, cluster};
use ndarray::{Array2, Axis, concatenate};

/// The frames of `generate.py`.
fn frames(count: usize, dim: usize, centers: usize) -> Array2<f32> {
    let mut state = 1_u64;
    let mut number = move || {
        state = (state * 1_103_515_245 + 12345) % (1 << 31);
        state as f64 / f64::from(1 << 30) - 1.0
    };
    let around = Array2::from_shape_simple_fn((centers, dim), || 4.0 * number());
    Array2::from_shape_fn((count, dim), |(row, d)| {
        let spread = 0.5 + (row % centers) as f64 / centers as f64;
        (around[[row % centers, d]] + spread * (number() + number()) / (1.0 + d as f64 / 4.0)) as f32
    })
}

fn found(frames: &Array2<f32>, clusters: usize, seed: u64) -> Clustering {
    let config = KmeansConfig { mini_batches: 20, seed, ..KmeansConfig::default() };
    cluster(frames.view(), clusters, &config).unwrap()
}

#[test]
fn the_inertia_is_within_a_hundredth_of_scikit_learn() {
    let fixture: serde_json::Value = serde_json::from_str(include_str!("inertia.json")).unwrap();
    for case in fixture["cases"].as_array().unwrap() {
        let [count, dim, centers, clusters] =
            ["count", "dim", "centers", "clusters"].map(|key| case[key].as_u64().unwrap() as usize);
        let [best, mini_batch] = ["kmeans", "mini_batch"].map(|key| case[key].as_f64().unwrap());
        for seed in 0..3 {
            let inertia = found(&frames(count, dim, centers), clusters, seed).inertia;
            // The best of scikit-learn's fifty starts is about as low as one can come; its mini-batches stop above it.
            assert!((inertia / best - 1.0).abs() <= 0.01, "{clusters}, seed {seed}: {inertia} for {best}");
            assert!(inertia <= 1.01 * mini_batch, "{clusters}, seed {seed}: {inertia} for {mini_batch}");
        }
    }
}

#[test]
fn the_inertia_is_that_of_the_nearest_centroids() {
    let frames = frames(500, 6, 12);
    let Clustering { centroids, inertia, .. } = found(&frames, 8, 0);
    let square = |row: usize, cluster: usize| -> f64 {
        let difference = &frames.row(row) - &centroids.vectors().row(cluster);
        difference.iter().map(|x| f64::from(*x).powi(2)).sum()
    };
    let mut sum = 0.0;
    for (row, unit) in centroids.nearest(frames.view()).into_iter().enumerate() {
        let least = (0..8).map(|cluster| square(row, cluster)).fold(f64::INFINITY, f64::min);
        assert!(square(row, unit as usize) <= least + 1e-4);
        sum += least;
    }
    assert!((inertia / sum - 1.0).abs() < 1e-6, "{inertia} {sum}");
}

#[test]
fn it_is_a_function_of_the_seed_whatever_the_threads() {
    let frames = frames(5000, 6, 12);
    let within = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| found(&frames, 20, 7))
    };
    let (one, three) = (within(1), within(3));
    assert_eq!(one.centroids, three.centroids);
    assert_eq!(one.inertia.to_bits(), three.inertia.to_bits());
    assert_ne!(found(&frames, 20, 8).centroids, one.centroids);
}

#[test]
fn as_many_clusters_as_distinct_frames_have_no_inertia() {
    let distinct = frames(9, 6, 9);
    let twice = concatenate(Axis(0), &[distinct.view(), distinct.view()]).unwrap();
    assert!(found(&twice, 9, 0).inertia < 1e-6);
    let error = cluster(twice.view(), 10, &KmeansConfig::default()).unwrap_err().to_string();
    assert_eq!(error, "distinct frames for k-means: at least 10 needed, found 9");
}

#[test]
fn what_cannot_be_clustered_is_refused() {
    let config = KmeansConfig::default();
    let message = |frames: &Array2<f32>, clusters, config: &KmeansConfig| {
        cluster(frames.view(), clusters, config).unwrap_err().to_string()
    };
    assert!(message(&Array2::zeros((0, 3)), 2, &config).contains("at least 2 needed, found 0"));
    assert!(message(&Array2::zeros((5, 3)), 2, &config).contains("at least 2 needed, found 1"));
    assert!(message(&Array2::from_elem((5, 3), f32::NAN), 2, &config).contains("finite"));
    assert!(message(&frames(5, 3, 5), 0, &config).contains("`units`"));
    assert!(message(&frames(5, 3, 5), 2, &KmeansConfig { batch: 0, ..config.clone() }).contains("kmeans.batch"));
    assert!(message(&frames(5, 3, 5), 2, &KmeansConfig { tolerance: 1.0, ..config }).contains("kmeans.tolerance"));
}
