//! NumPy's `.npz` files: the statistics that pytorch-fid writes and reads, and features with their names.

use std::fs::File;
use std::path::Path;

use ndarray::{Array1, Array2, Ix1, Ix2, OwnedRepr};
use ndarray_npy::{NpzReader, NpzWriter, ReadNpzError};

use crate::error::EvaluationError;
use crate::frechet::Gaussian;

/// Writes `mu` and `sigma` as `python -m pytorch_fid --save-stats` does.
///
/// # Errors
/// When the file cannot be written.
pub fn write_statistics(path: &Path, gaussian: &Gaussian) -> Result<(), EvaluationError> {
    let mut writer = NpzWriter::new_compressed(create(path)?);
    let written = writer
        .add_array("mu", &gaussian.mean)
        .and_then(|()| writer.add_array("sigma", &gaussian.covariance))
        .and_then(|()| writer.finish().map(|_| ()));
    written.map_err(|error| unfit(path, error.to_string()))
}

/// Reads `mu` and `sigma`.
///
/// # Errors
/// When the file has other arrays, their shapes do not fit each other, or a number is not finite.
pub fn read_statistics(path: &Path) -> Result<Gaussian, EvaluationError> {
    let mut reader = open(path)?;
    let names = reader.names().map_err(|error| unfit(path, error.to_string()))?;
    let absent = |name: &str, error: ReadNpzError| {
        unfit(path, format!("expected arrays `mu` [d] and `sigma` [d, d], found {names:?}; {name}: {error}"))
    };
    let mean = reader.by_name::<OwnedRepr<f64>, Ix1>("mu");
    let mean: Array1<f64> = match mean {
        Ok(mean) => mean,
        // Some programs write single precision.
        Err(error) => match reader.by_name::<OwnedRepr<f32>, Ix1>("mu") {
            Ok(mean) => mean.mapv(f64::from),
            Err(_) => return Err(absent("mu", error)),
        },
    };
    let covariance = reader.by_name::<OwnedRepr<f64>, Ix2>("sigma");
    let covariance: Array2<f64> = match covariance {
        Ok(covariance) => covariance,
        Err(error) => match reader.by_name::<OwnedRepr<f32>, Ix2>("sigma") {
            Ok(covariance) => covariance.mapv(f64::from),
            Err(_) => return Err(absent("sigma", error)),
        },
    };
    if covariance.dim() != (mean.len(), mean.len()) {
        let found = format!("mu of {} numbers and sigma of {:?}", mean.len(), covariance.dim());
        return Err(unfit(path, format!("expected sigma of [{0}, {0}], found {found}", mean.len())));
    }
    if mean.iter().chain(&covariance).any(|value| !value.is_finite()) {
        return Err(unfit(path, "expected finite numbers, found NaN or infinity".into()));
    }
    Ok(Gaussian { mean, covariance })
}

/// Writes features `[count, dim]` and the names of their images, as bytes that are padded with zeros (`names`).
///
/// # Errors
/// When the file cannot be written.
pub fn write_features(path: &Path, names: &[String], features: &Array2<f32>) -> Result<(), EvaluationError> {
    let longest = names.iter().map(String::len).max().unwrap_or(0);
    let bytes = Array2::from_shape_fn((names.len(), longest), |(row, column)| {
        names[row].as_bytes().get(column).copied().unwrap_or(0)
    });
    let mut writer = NpzWriter::new_compressed(create(path)?);
    let written = writer
        .add_array("features", features)
        .and_then(|()| writer.add_array("names", &bytes))
        .and_then(|()| writer.finish().map(|_| ()));
    written.map_err(|error| unfit(path, error.to_string()))
}

fn create(path: &Path) -> Result<File, EvaluationError> {
    File::create(path).map_err(|source| EvaluationError::File { action: "write", path: path.into(), source })
}

fn open(path: &Path) -> Result<NpzReader<File>, EvaluationError> {
    let file =
        File::open(path).map_err(|source| EvaluationError::File { action: "read", path: path.into(), source })?;
    NpzReader::new(file).map_err(|error| unfit(path, format!("expected an .npz file, found none: {error}")))
}

fn unfit(path: &Path, reason: String) -> EvaluationError {
    EvaluationError::Statistics { path: path.to_path_buf(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_come_back_and_files_of_numpy_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.npz");
        let gaussian = Gaussian {
            mean: Array1::from(vec![1.0, -2.5]),
            covariance: Array2::from_shape_vec((2, 2), vec![1.0, 0.5, 0.5, 2.0]).unwrap(),
        };
        write_statistics(&path, &gaussian).unwrap();
        assert_eq!(read_statistics(&path).unwrap(), gaussian);
        // Of np.savez_compressed(…, mu=…, sigma=…), by `distribution_fixture/generate.py`.
        let numpy = concat!(env!("CARGO_MANIFEST_DIR"), "/src/distribution_fixture/numpy.npz");
        assert_eq!(read_statistics(Path::new(numpy)).unwrap(), gaussian);
    }

    #[test]
    fn other_keys_other_shapes_and_nan_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.npz");
        let message = || read_statistics(&path).unwrap_err().to_string();
        assert!(message().contains("s.npz"));
        std::fs::write(&path, "PK no zip").unwrap();
        assert!(message().contains("expected an .npz file"), "{}", message());
        write_features(&path, &["a".into()], &Array2::zeros((1, 3))).unwrap();
        assert!(message().contains("`mu`") && message().contains("features"), "{}", message());
        let bad = |mean: Vec<f64>, side| Gaussian { mean: mean.into(), covariance: Array2::zeros((side, side)) };
        write_statistics(&path, &bad(vec![0.0; 3], 2)).unwrap();
        assert!(message().contains("[3, 3]"), "{}", message());
        write_statistics(&path, &bad(vec![f64::NAN, 0.0], 2)).unwrap();
        assert!(message().contains("NaN"), "{}", message());
    }
}
