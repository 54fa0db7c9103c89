//! From a device's name to the device, with a clear error when it is not there.
//!
//! The framework panics when a device is missing, so every device is looked for before it is used.

use burn::tensor::Device;

use crate::error::{Result, refuse};

/// Which of a machine's processes this is, where a launcher started several: Slurm's, Open MPI's, PyTorch's.
const LOCAL_RANKS: [&str; 3] = ["LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"];

/// Opens a device by name: `auto`, `cpu`, `wgpu`, `wgpu:N`, `cuda` or `cuda:N`. `auto` takes CUDA, then wgpu, then the CPU,
/// whichever is compiled in and there. Without a number it is the first, or of several processes that a launcher started on
/// this machine to each its own.
pub fn open(name: &str) -> Result<Device> {
    let (kind, index) = match name.split_once(':') {
        None => (name, None),
        Some((kind, index)) => match index.parse::<usize>() {
            Ok(index) => (kind, Some(index)),
            Err(_) => refuse!("device `{name}`: expected a number after the colon, found `{index}`"),
        },
    };
    match (kind, index) {
        ("auto", None) => Ok(best()),
        ("cpu", None) => Ok(Device::flex()),
        ("wgpu", index) => pick("wgpu", wgpu_devices(), index),
        ("cuda", index) => pick("cuda", cuda_devices(), index),
        _ => refuse!("device: expected auto, cpu, wgpu, wgpu:N, cuda or cuda:N, found `{name}`"),
    }
}

/// Devices of a kind, or `None` when the kind is not compiled in.
type Found = Option<Vec<Device>>;

fn best() -> Device {
    let found = [cuda_devices(), wgpu_devices()].into_iter().flatten().find(|devices| !devices.is_empty());
    // Where there are fewer devices than processes, some share one.
    let own = |devices: Vec<Device>| devices.into_iter().cycle().nth(local_rank());
    found.and_then(own).unwrap_or_else(Device::flex)
}

/// What a device is called, as [`open`] takes it.
pub fn name(device: &Device) -> String {
    let of = |kind: &str, found: Found| {
        let place = found?.iter().position(|found| found == device)?;
        Some(format!("{kind}:{place}"))
    };
    match *device == Device::flex() {
        true => "cpu".into(),
        false => of("cuda", cuda_devices()).or_else(|| of("wgpu", wgpu_devices())).unwrap_or(format!("{device:?}")),
    }
}

fn local_rank() -> usize {
    local_rank_by(|name| std::env::var(name).ok())
}

fn local_rank_by(variable: impl Fn(&str) -> Option<String>) -> usize {
    LOCAL_RANKS.into_iter().find_map(|name| variable(name)?.parse().ok()).unwrap_or(0)
}

fn pick(kind: &str, found: Found, index: Option<usize>) -> Result<Device> {
    let Some(devices) = found else {
        refuse!(
            "device `{kind}`: this program was built without it; build with `cargo build --release --features {kind}`"
        )
    };
    let index = index.unwrap_or_else(local_rank);
    let count = devices.len();
    match devices.into_iter().nth(index) {
        Some(device) => Ok(device),
        None if count == 0 => refuse!("device `{kind}`: no such device on this machine; is its driver installed?"),
        None => {
            refuse!("device `{kind}:{index}`: expected an index below {count}, the number of devices, found {index}")
        }
    }
}

#[cfg(feature = "cuda")]
fn cuda_devices() -> Found {
    Some(enumerate(burn::tensor::DeviceType::Cuda))
}

#[cfg(not(feature = "cuda"))]
fn cuda_devices() -> Found {
    None
}

#[cfg(feature = "wgpu")]
fn wgpu_devices() -> Found {
    Some(enumerate(burn::tensor::DeviceType::Wgpu))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu_devices() -> Found {
    None
}

/// Listing devices loads their driver, and the framework panics where there is none; that is an answer as well.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn enumerate(kind: burn::tensor::DeviceType) -> Vec<Device> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let devices = std::panic::catch_unwind(|| Device::enumerate(kind).into_vec()).unwrap_or_default();
    std::panic::set_hook(hook);
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_of_a_machine_takes_its_own_device() {
        let with = |set: &'static str, value: &'static str| {
            local_rank_by(move |asked| (asked == set).then(|| value.to_owned()))
        };
        assert_eq!((with("LOCAL_RANK", "3"), with("SLURM_LOCALID", "1"), with("HOME", "/")), (3, 1, 0));
        assert_eq!(name(&Device::flex()), "cpu");
    }

    #[test]
    fn names_are_read_and_faults_are_named() {
        assert!(open("cpu").is_ok() && open("auto").is_ok());
        let message = |name| open(name).unwrap_err().to_string();
        assert!(message("gpu").contains("found `gpu`"));
        assert!(message("cuda:x").contains("found `x`"));
        assert!(message("cpu:1").contains("found `cpu:1`"));
        #[cfg(not(feature = "cuda"))]
        assert!(message("cuda").contains("--features cuda"));
        #[cfg(not(feature = "wgpu"))]
        assert!(message("wgpu:3").contains("--features wgpu"));
    }
}
