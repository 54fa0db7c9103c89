//! Addresses on other machines: which command fetches them.

use crate::error::ShardError;

/// Why a pattern is refused, if it is an address or a command.
pub(super) fn refused(pattern: &str) -> Option<ShardError> {
    let (scheme, rest) = match pattern.strip_prefix("pipe:") {
        Some(command) => ("pipe", command),
        None => pattern.split_once("://")?,
    };
    // The last part, which may be a pattern, apart from where it lies.
    let (folder, name) = rest.rsplit_once('/').unwrap_or((rest, ""));
    let command = match scheme {
        "s3" if is_pattern(rest) => {
            format!("aws s3 cp --recursive {scheme}://{} shards/", plain_folder(folder))
        }
        "s3" => format!("aws s3 cp {pattern} shards/"),
        "gs" => format!(
            "gcloud storage cp --recursive '{scheme}://{}' shards/",
            if name.is_empty() { folder } else { rest }
        ),
        "hf" => fetch_from_hub(rest),
        "http" | "https" => {
            format!("curl --fail --location --remote-name-all --output-dir shards --create-dirs '{}'", ranged(pattern))
        }
        "pipe" => format!("run `{}` and keep what it prints in a file", rest.trim()),
        "file" => format!("leave out `file://` and give the path `{rest}`"),
        _ => format!("copy {pattern} into a folder with the program that knows `{scheme}`"),
    };
    Some(ShardError::Remote { address: pattern.into(), command })
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// The folders before the first that has a pattern.
fn plain_folder(folder: &str) -> String {
    folder.split('/').take_while(|part| !is_pattern(part)).map(|part| format!("{part}/")).collect()
}

/// `{000..999}` in the way that curl writes ranges.
fn ranged(address: &str) -> String {
    let mut text = address.to_string();
    while let Some((start, end)) = text.find('{').and_then(|start| Some((start, start + text[start..].find('}')?))) {
        let Some((first, last)) = text[start + 1..end].split_once("..") else { break };
        text = format!("{}[{first}-{last}]{}", &text[..start], &text[end + 1..]);
    }
    text
}

/// The command for `datasets/owner/name@revision/path` and for models, which have no `datasets/` before them.
fn fetch_from_hub(rest: &str) -> String {
    let (kind, rest) = match rest.strip_prefix("datasets/") {
        Some(rest) => (" --repo-type dataset", rest),
        None => ("", rest),
    };
    let mut parts = rest.splitn(3, '/');
    let (owner, name, path) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let (name, revision) =
        name.split_once('@').map_or((name, String::new()), |(name, at)| (name, format!(" --revision {at}")));
    // The hub's patterns know no ranges.
    let star: String = ranged(path).split('[').enumerate().fold(String::new(), |text, (index, part)| match index {
        0 => part.to_string(),
        _ => text + "*" + part.split_once(']').map_or("", |(_, after)| after),
    });
    let include = match path {
        "" => String::new(),
        _ => format!(" --include '{star}'"),
    };
    format!("hf download {owner}/{name}{kind}{revision}{include} --local-dir shards")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_answered_by_the_command_that_fetches_it() {
        for (pattern, command) in [
            ("s3://bucket/a/{000..999}.tar", "aws s3 cp --recursive s3://bucket/a/ shards/"),
            ("s3://bucket/a/1.tar", "aws s3 cp s3://bucket/a/1.tar shards/"),
            ("gs://bucket/a/*.tar", "gcloud storage cp --recursive 'gs://bucket/a/*.tar' shards/"),
            (
                "hf://datasets/owner/set@main/data/{00..99}.tar",
                "hf download owner/set --repo-type dataset --revision main --include 'data/*.tar' --local-dir shards",
            ),
            ("hf://owner/model", "hf download owner/model --local-dir shards"),
            ("https://host/{000..012}.tar", "'https://host/[000-012].tar'"),
            ("pipe: cat a.tar", "run `cat a.tar`"),
            ("file:///a.tar", "the path `/a.tar`"),
            ("ftp://x/y", "`ftp`"),
        ] {
            let message = refused(pattern).unwrap().to_string();
            assert!(message.contains(command) && message.contains(pattern), "{message}");
        }
        assert!(refused("folder/{0..9}.tar").is_none());
    }
}
