//! `interfuse init`: asks for what is missing, and writes a configuration that fits.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use interfuse_data::survey::{Sides, Survey, survey};
use interfuse_parameters::durable::{check_writable, write_file};
use interfuse_run::proposal::{Facts, Size, Wishes, default_size, fit};
use interfuse_run::sentence;
use interfuse_sweep::shell_word;
use serde_json::json;

use crate::args::InitArgs;
use crate::print::{say, say_error};

/// Minutes of training where nothing else is said.
const MINUTES: f64 = 10.0;
/// Seconds that measuring takes, at least and at most; in between a twentieth of the training.
const MEASURING: (f64, f64) = (1.5, 12.0);

pub(crate) fn run(args: &InitArgs) -> anyhow::Result<()> {
    args.answer.begin();
    let (wishes, survey, out) = ask(args)?;
    let facts = Facts::of(wishes, survey, args.memory)?;
    let (least, most) = MEASURING;
    let seconds = (60.0 * facts.wishes.minutes / 20.0).clamp(least, most);
    say_error!("measuring this machine for about {seconds:.0} seconds, and as long as steps take beyond");
    let (proposal, measured) = fit(&facts, Duration::from_secs_f64(seconds))?;
    write_file(&out, proposal.toml(Some(&measured))?.as_bytes())?;

    let candidate = &proposal.candidate;
    say!(
        "{}: {} steps of {} documents, about {:.1} minutes; patches of {} pixels, {} layers of width {}",
        out.display(),
        proposal.steps,
        proposal.documents,
        proposal.minutes(),
        candidate.patch_size,
        candidate.n_layers,
        candidate.d_model
    );
    say!("interfuse train {}", shell_word(&out.display().to_string()));
    let dir = facts.wishes.dir.display().to_string();
    say!("interfuse sample {} {}", shell_word(&dir), shell_word(&facts.survey.example));
    args.answer.give(&json!({
        "config": out, "run": facts.wishes.dir, "steps": proposal.steps, "documents": proposal.documents,
        "minutes": proposal.minutes(), "patch_size": candidate.patch_size, "n_layers": candidate.n_layers,
        "d_model": candidate.d_model, "example": facts.survey.example,
    }))
}

/// What the flags say, what the terminal answers, and the defaults of the rest.
fn ask(args: &InitArgs) -> anyhow::Result<(Wishes, Survey, PathBuf)> {
    let terminal = Questions { asks: !args.yes && std::io::stdin().is_terminal() };
    let (images, survey) =
        terminal.answer("Where are the images, with their captions?", args.images.as_deref(), "images", |text| {
            let folder = PathBuf::from(text);
            let survey = survey(&folder)?;
            Ok((folder, survey))
        })?;
    print_survey(&survey);
    let usual = default_size(&survey, args.minutes).to_string();
    let question = "Which size shall they have, height x width in pixels?";
    let size = terminal.answer(question, args.size.as_deref(), &usual, |text| Ok(Size::parse(text)?))?;
    let given = args.minutes.map(|minutes| minutes.to_string());
    let question = "How many minutes may training take?";
    let minutes = terminal.answer(question, given.as_deref(), &MINUTES.to_string(), minutes)?;
    let given = args.out.as_ref().map(|out| out.display().to_string());
    let usual = format!("{}.toml", name_of(&images));
    let question = "Where shall the configuration be written?";
    let out = terminal.answer(question, given.as_deref(), &usual, |text| place(text, args.force))?;
    let dir = run_folder(&out);
    Ok((Wishes { images, size, minutes, dir, device: args.device.clone() }, survey, out))
}

/// Somebody at a terminal, or nobody.
struct Questions {
    asks: bool,
}

impl Questions {
    /// What was given, else what is answered, else the usual. An answer that is none is asked for again; a flag is refused.
    fn answer<T>(
        &self,
        question: &str,
        given: Option<&str>,
        usual: &str,
        read: impl Fn(&str) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        if let Some(text) = given {
            return read(text);
        }
        if !self.asks {
            return read(usual);
        }
        loop {
            say_error!("{question} [{usual}]");
            let mut line = String::new();
            let ended = std::io::stdin().lock().read_line(&mut line).context("cannot read the answer")? == 0;
            let text = if line.trim().is_empty() { usual } else { line.trim() };
            match read(text) {
                Ok(answer) => return Ok(answer),
                Err(error) if ended => return Err(error),
                Err(error) => say_error!("{}", sentence(error.as_ref())),
            }
        }
    }
}

fn minutes(text: &str) -> anyhow::Result<f64> {
    match text.parse::<f64>() {
        Ok(minutes) if minutes > 0.0 => Ok(minutes),
        _ => bail!("--minutes: expected a number above 0, found {text:?}"),
    }
}

/// Where a configuration can be written without harm.
fn place(text: &str, force: bool) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(text);
    ensure!(force || !path.exists(), "--out: `{text}` exists; name another file, or replace it by --force");
    check_writable(&path)?;
    Ok(path)
}

/// `runs/` with the configuration's name, and a number where that folder is there already: a new run needs a new one.
fn run_folder(out: &Path) -> PathBuf {
    let name = out.file_stem().map_or("mine".into(), |stem| stem.to_string_lossy().into_owned());
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let mut folders = std::iter::once(name.clone()).chain(numbered).map(|name| Path::new("runs").join(name));
    folders.find(|folder| !folder.exists()).unwrap_or_else(|| Path::new("runs").join(&name))
}

/// The last part of a folder's path, where it has one.
fn name_of(folder: &Path) -> String {
    let full = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    full.file_name().map_or("mine".into(), |name| name.to_string_lossy().into_owned())
}

fn print_survey(survey: &Survey) {
    let Survey { images, opened, bad, height, width, transparent, captions, .. } = survey;
    let sides = |sides: &Sides| format!("{} to {}", sides.min, sides.max);
    say_error!(
        "{images} captioned images; of the {opened} that were opened {bad} are bad and {transparent} have transparency, which \
         becomes white; {} pixels high, {} wide",
        sides(height),
        sides(width)
    );
    say_error!(
        "{} captions, {} of them different, of {:.1} words on average",
        captions.captions,
        captions.distinct,
        captions.words
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_asked_for_what_was_given_or_without_a_terminal() {
        let nobody = Questions { asks: false };
        let number = |text: &str| Ok(text.parse::<u32>()?);
        assert_eq!(nobody.answer("How many?", Some("3"), "7", number).unwrap(), 3);
        assert_eq!(nobody.answer("How many?", None, "7", number).unwrap(), 7);
        assert!(Questions { asks: true }.answer("How many?", Some("x"), "7", number).is_err());
    }
}
