//! Where the tests run: a folder of images, a configuration, and ways to start the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use image::RgbImage;
use serde_json::Value;
use tempfile::TempDir;

/// Captions of the images in `images/`, and their colours.
pub(crate) const COLOURS: [(&str, [u8; 3]); 8] = [
    ("red", [220, 30, 30]),
    ("green", [30, 180, 40]),
    ("blue", [30, 40, 220]),
    ("yellow", [240, 220, 40]),
    ("black", [0, 0, 0]),
    ("white", [255, 255, 255]),
    ("pink", [250, 150, 190]),
    ("cyan", [40, 220, 230]),
];

/// Of every image; they differ, so that a mix-up of the two shows.
pub(crate) const HEIGHT: u32 = 8;
/// Of every image.
pub(crate) const WIDTH: u32 = 16;

/// A model of one layer; a checkpoint is due every third step.
const CONFIG: &str = r#"
[run]
dir = "run"
device = "cpu"

[data]
image_size = [8, 16]
source = { kind = "folder", path = "images", held_out = 0.0 }

[tokenizer]
vocab_size = 261

[model]
partition = [["text"], ["image"]]

[model.backbone]
d_model = 16
n_layers = 1
n_heads = 2

[model.modalities.text]
objective = "next_token"

[model.modalities.image]
objective = "denoise"
patch_size = 4
process = "rectified_flow"
prediction = "velocity"

[optimizer]
learning_rate = 3e-3
warmup_steps = 2

[train]
steps = 6
batch_size = 2

[intervals]
validation = 3
preview = 3
checkpoint = 3

[sampling]
steps = 2
guidance = 2.0
max_tokens = 8
"#;

/// A temporary folder with `images/` and `tiny.toml`, in which the program runs.
pub(crate) struct Sandbox {
    folder: TempDir,
}

/// How a program ended and what it said.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    /// The folder with its images.
    pub(crate) fn new() -> Self {
        let sandbox = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        sandbox.write("tiny.toml", CONFIG);
        let mut metadata = String::new();
        fs::create_dir(sandbox.path("images")).expect("a folder for images");
        for (name, colour) in COLOURS {
            // The lower half is black.
            let image = RgbImage::from_fn(WIDTH, HEIGHT, |_, y| image::Rgb(if y < 4 { colour } else { [0; 3] }));
            image.save(sandbox.path(&format!("images/{name}.png"))).expect("an image is written");
            metadata.push_str(&format!("{{\"file_name\": \"{name}.png\", \"text\": \"{name}\"}}\n"));
        }
        sandbox.write("images/metadata.jsonl", metadata);
        sandbox
    }

    /// A sandbox in which the configuration has been trained into `run`, with checkpoints of steps 3 and 6.
    pub(crate) fn trained() -> Self {
        let sandbox = Self::new();
        sandbox.train(&[]).succeeded();
        sandbox
    }

    /// A path below the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap_or_else(|error| panic!("{name}: {error}"));
    }

    /// Reads a file.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Reads a file of JSON.
    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Reads a file of one JSON object a line.
    pub(crate) fn json_lines(&self, name: &str) -> Vec<Value> {
        let text = String::from_utf8(self.bytes(name)).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    /// Names in a folder, sorted.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        names_in(&self.path(folder))
    }

    /// Size of an image: width, height.
    pub(crate) fn image_size(&self, name: &str) -> (u32, u32) {
        image::image_dimensions(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Runs `interfuse` to its end.
    pub(crate) fn interfuse(&self, args: &[&str]) -> Ended {
        Ended::from(self.command(env!("CARGO_BIN_EXE_interfuse"), args).output().expect("the program starts"))
    }

    /// Runs `interfuse train tiny.toml` to its end; each change is a `--set`, unless it begins with a dash itself.
    pub(crate) fn train(&self, changes: &[&str]) -> Ended {
        self.interfuse(&train_args(changes))
    }

    /// Starts `interfuse train tiny.toml` and does not wait.
    #[cfg(unix)]
    pub(crate) fn start_training(&self, changes: &[&str]) -> std::process::Child {
        self.start(&train_args(changes))
    }

    /// Starts `interfuse` and does not wait.
    #[cfg(unix)]
    pub(crate) fn start(&self, args: &[&str]) -> std::process::Child {
        let mut command = self.command(env!("CARGO_BIN_EXE_interfuse"), args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    }

    /// Runs `interfuse train tiny.toml` under a shell that runs `before` first.
    #[cfg(unix)]
    pub(crate) fn train_after(&self, before: &str, changes: &[&str]) -> Ended {
        let script = format!("{before}; exec \"$0\" \"$@\"");
        let program = ["-c", &script, env!("CARGO_BIN_EXE_interfuse")];
        let args = [&program[..], &train_args(changes)].concat();
        Ended::from(self.command("sh", &args).output().expect("a shell starts"))
    }

    /// Runs a shell script, in which `"$0" "$@"` is `interfuse` with its arguments.
    #[cfg(unix)]
    pub(crate) fn in_shell(&self, script: &str, args: &[&str]) -> Ended {
        let program = ["-c", script, env!("CARGO_BIN_EXE_interfuse")];
        Ended::from(self.command("sh", &[&program[..], args].concat()).output().expect("a shell starts"))
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.folder.path()).env("RUST_BACKTRACE", "0").stdin(Stdio::null());
        command
    }
}

fn train_args<'a>(changes: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["train", "tiny.toml"];
    for change in changes {
        if !change.starts_with('-') {
            args.push("--set");
        }
        args.push(change);
    }
    args
}

/// Names in a folder, sorted.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

impl Ended {
    /// The program ended well.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// The program ended with exit code 1 and one message that holds every part, and did not panic.
    #[track_caller]
    pub(crate) fn refused(self, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(1), "{}\n{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert_eq!(self.stderr.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "expected {part:?} in: {}", self.stderr);
        }
        self
    }

    /// What it wrote to its standard error holds every part; no part means that it warned of nothing.
    #[track_caller]
    pub(crate) fn warned(self, parts: &[&str]) -> Self {
        assert!(!parts.is_empty() || !self.stderr.contains("warning"), "expected no warning in: {}", self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "expected {part:?} in: {}", self.stderr);
        }
        self
    }

    /// What it wrote to its standard output holds every part.
    #[track_caller]
    pub(crate) fn said(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stdout.contains(part), "expected {part:?} in: {}", self.stdout);
        }
        self
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}
