//! Reading a configuration: file, then overrides, then one strict deserialisation.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::explain::{Origin, explain};
use super::overrides::Override;
use crate::error::{Context as _, Result, RunError, refuse};

/// Reads the TOML file `path`, applies `overrides` (each `a.b=value`, in order), and deserialises the result.
///
/// The value of an override is read as TOML (`10`, `[32, 32]`, `true`, `"text"`, `{ kind = "emoji" }`); what is not TOML is
/// taken as a string, so that `--set run.dir=/tmp/x` needs no quotes.
///
/// # Errors
/// A file that cannot be read, is not UTF-8 or not TOML; an override that is malformed or runs through a value that is not
/// a table; an unknown, missing or mistyped key. Each names the file and line, or the `--set`, at fault.
pub fn load<T: DeserializeOwned>(path: &Path, overrides: &[String]) -> Result<T> {
    parse(&read_text(path)?, path, overrides)
}

/// As [`load`], of a text that was read from `path` before.
///
/// # Errors
/// As [`load`].
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path, overrides: &[String]) -> Result<T> {
    let mut config: Table = toml::from_str(text)
        // The error's own text already holds line, column and the line itself with a mark under it.
        .map_err(|error| {
            RunError::Refused(format!("{} is not valid TOML: {}", path.display(), error.to_string().trim_end()))
        })?;

    let overrides = overrides.iter().map(|text| Override::parse(text)).collect::<Result<Vec<_>>>()?;
    for each in &overrides {
        each.apply(&mut config)?;
    }

    let config = Value::Table(config);
    match serde_path_to_error::deserialize(config.clone()) {
        Ok(loaded) => Ok(loaded),
        Err(error) => refuse!("{}", explain::<T>(&error, &config, &Origin { path, text, overrides: &overrides })),
    }
}

/// The whole file as text, with an error that says where it stops being text.
fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the configuration {}", path.display()))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        let column = 1 + valid.iter().rev().take_while(|&&byte| byte != b'\n').count();
        RunError::Refused(format!("{} is not UTF-8 text: line {line}, column {column}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde::{Deserialize, Serialize};

    use super::super::save;
    use super::*;
    use crate::error::sentence;

    const GOOD: &str = "\
[run]
dir = 'runs/first'

[model]
d_model = 64
n_layers = 2

[data]
image_size = [32, 32]
source = { kind = 'emoji', groups = ['Animals'], styles = 3 }
";

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        run: Run,
        model: Model,
        data: Data,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Run {
        dir: PathBuf,
        #[serde(default)]
        seed: u64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Model {
        d_model: usize,
        n_layers: usize,
        #[serde(default)]
        dropout: f32,
        #[serde(default)]
        norm: Norm,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Norm {
        #[default]
        RmsNorm,
        LayerNorm,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Data {
        image_size: [usize; 2],
        // A table before a plain value, which TOML can only hold in the other order.
        source: Source,
        #[serde(default)]
        shuffle: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<usize>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
    enum Source {
        Emoji { groups: Vec<String>, styles: usize },
        Folder { path: PathBuf },
    }

    fn load_text(text: &str, overrides: &[&str]) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        std::fs::write(&path, text).unwrap();
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        // The folder's name is random: leave only the file's.
        load(&path, &overrides).map_err(|error| sentence(&error).replace(&format!("{}/", folder.path().display()), ""))
    }

    #[track_caller]
    fn assert_error(text: &str, overrides: &[&str], expected: &str) {
        assert_eq!(load_text(text, overrides).unwrap_err(), expected);
    }

    #[test]
    fn overrides_take_precedence_and_need_no_quotes() {
        let overrides = [
            "run.dir=/tmp/x",
            "run.seed=7",
            "model.dropout=0",
            "model.norm=layer_norm",
            "data.image_size=[16,8]",
            "data.source={kind='folder', path='a=b'}",
            "data.source.path=2024-01-01",
        ];
        let config = load_text(GOOD, &overrides).unwrap();
        assert_eq!(config.run, Run { dir: "/tmp/x".into(), seed: 7 });
        assert_eq!((config.model.dropout, config.model.norm), (0.0, Norm::LayerNorm));
        assert_eq!(config.data.image_size, [16, 8]);
        assert_eq!(config.data.source, Source::Folder { path: "2024-01-01".into() });
    }

    #[test]
    fn an_override_makes_the_tables_that_it_needs() {
        let without_data = GOOD.split("[data]").next().unwrap();
        let overrides = ["data.image_size=[4,4]", "data.source.kind=folder", "data.source.path=images"];
        assert_eq!(load_text(without_data, &overrides).unwrap().data.source, Source::Folder { path: "images".into() });
    }

    #[test]
    fn a_saved_configuration_is_complete_and_loads_as_itself() {
        let config = load_text(GOOD, &["model.dropout=0.1"]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        save(&config, &path).unwrap();
        assert_eq!(load::<Config>(&path, &[]).unwrap(), config);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("seed = 0") && text.contains("dropout = 0.1\n"), "{text}");
    }

    #[test]
    fn unknown_keys_are_named_with_the_nearest_known_one() {
        assert_error(
            &GOOD.replace("d_model", "d_modle"),
            &[],
            "unknown key `model.d_modle` in x.toml, line 5: did you mean `d_model`? \
             expected one of: `d_model`, `n_layers`, `dropout`, `norm`",
        );
        assert_error(
            &GOOD.replace("d_model", "width"),
            &[],
            "unknown key `model.width` in x.toml, line 5: expected one of: `d_model`, `n_layers`, `dropout`, `norm`",
        );
        assert_error(
            GOOD,
            &["run.sede=3"],
            "unknown key `run.sede` from --set run.sede=3: did you mean `seed`? expected one of: `dir`, `seed`",
        );
        assert_error(
            &GOOD.replace("styles", "style"),
            &[],
            "unknown key `data.source.style` in x.toml, line 10: did you mean `styles`? expected one of: `groups`, `styles`",
        );
        assert_error(
            GOOD,
            &["modle.d_model=3"],
            "unknown key `modle` from --set modle.d_model=3: did you mean `model`? expected one of: `run`, `model`, `data`",
        );
    }

    #[test]
    fn missing_keys_are_named_in_full() {
        assert_error(&GOOD.replace("n_layers = 2", ""), &[], "missing key `model.n_layers` in x.toml");
        assert_error(&GOOD.replace(", styles = 3", ""), &[], "missing key `data.source.styles` in x.toml");
        assert_error(&GOOD.replace("kind = 'emoji', ", ""), &[], "missing key `data.source.kind` in x.toml");
    }

    #[test]
    fn mistyped_values_say_what_was_expected_found_and_where() {
        assert_error(
            &GOOD.replace("64", "'wide'"),
            &[],
            "`model.d_model` in x.toml, line 5: expected a whole number, 0 or more, found string \"wide\"",
        );
        assert_error(
            &GOOD.replace("64", "-64"),
            &[],
            "`model.d_model` in x.toml, line 5: expected a whole number, 0 or more, found integer `-64`",
        );
        assert_error(
            GOOD,
            &["model.dropout=none"],
            "`model.dropout` from --set model.dropout=none: expected a number, found string \"none\"",
        );
        assert_error(
            &GOOD.replace("[32, 32]", "[32, 'x']"),
            &[],
            "`data.image_size[1]` in x.toml, line 9: expected a whole number, 0 or more, found string \"x\"",
        );
        assert_error(
            &GOOD.replace("[32, 32]", "[32]"),
            &[],
            "`data.image_size` in x.toml, line 9: expected an array of length 2, found 1 values",
        );
        assert_error(
            GOOD,
            &["data.image_size=[1,2,3]"],
            "`data.image_size` from --set data.image_size=[1,2,3]: expected fewer elements in array, found 3 values",
        );
        assert_error(
            GOOD,
            &["data.shuffle=1"],
            "`data.shuffle` from --set data.shuffle=1: expected true or false, found integer `1`",
        );
        assert_error(
            GOOD,
            &["model=3"],
            "`model` from --set model=3: expected a table (struct Model), found integer `3`",
        );
    }

    #[test]
    fn mistyped_values_inside_a_tagged_enum_are_found_too() {
        assert_error(
            &GOOD.replace("styles = 3", "styles = 'all'"),
            &[],
            "`data.source.styles` in x.toml, line 10: expected a whole number, 0 or more, found string \"all\"",
        );
        assert_error(
            GOOD,
            &["data.source.groups=Animals"],
            "`data.source.groups` from --set data.source.groups=Animals: expected an array, found string \"Animals\"",
        );
    }

    #[test]
    fn unknown_variants_are_named_with_the_nearest_known_one() {
        assert_error(
            &GOOD.replace("'emoji'", "'emjoi'"),
            &[],
            "`data.source.kind` in x.toml, line 10: unknown value `emjoi`: did you mean `emoji`? \
             expected one of: `emoji`, `folder`",
        );
        assert_error(
            GOOD,
            &["model.norm=batch"],
            "`model.norm` from --set model.norm=batch: unknown value `batch`: expected one of: `rms_norm`, `layer_norm`",
        );
    }

    #[test]
    fn bad_overrides_are_refused() {
        assert_error(GOOD, &["run.dir"], "--set run.dir: expected KEY=VALUE");
        assert_error(GOOD, &["run..dir=x"], "--set run..dir=x: `run..dir` is not a key such as `model.d_model`");
        assert_error(GOOD, &["=x"], "--set =x: `` is not a key such as `model.d_model`");
        assert_error(
            GOOD,
            &["model.d_model.x=1"],
            "--set model.d_model.x=1: `model.d_model` is integer, not a table, so it has no key `x`",
        );
        assert_error(
            GOOD,
            &["data.image_size.2=1"],
            "--set data.image_size.2=1: `data.image_size` has 2 elements, so `2` must be one of 0 to 1",
        );
    }

    #[test]
    fn unreadable_files_are_explained() {
        let missing = load::<Config>(Path::new("no/such.toml"), &[]).unwrap_err();
        assert!(sentence(&missing).starts_with("cannot read the configuration no/such.toml: "));

        let syntax = load_text("[run]\ndir = = 3\n", &[]).unwrap_err();
        assert!(syntax.starts_with("x.toml is not valid TOML: TOML parse error at line 2, column 7"), "{syntax}");

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latin1.toml");
        std::fs::write(&path, b"a = 1\nb = '\xe9'\n").unwrap();
        let latin1 = load::<Config>(&path, &[]).unwrap_err().to_string();
        assert!(latin1.ends_with("latin1.toml is not UTF-8 text: line 2, column 6"), "{latin1}");
    }
}
