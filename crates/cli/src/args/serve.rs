//! What the user types to serve a model.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::ModelArgs;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Address to listen at; any but this machine's own needs --key-file
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// Port to listen at; 0 takes a free one
    #[arg(long, default_value_t = 8000)]
    pub(crate) port: u16,
    /// File whose first line is what clients have to show as `Authorization: Bearer KEY`
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// A name under which the server may be asked for besides localhost; may be repeated
    #[arg(long = "name")]
    pub(crate) names: Vec<String>,
}
