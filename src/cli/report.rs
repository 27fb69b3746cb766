//! What may be said to `report`.
//!
//! Does not know what is in the file ([`viamillipede::report`]).

use super::Request;
use clap::Args;
use std::path::PathBuf;

pub(super) const EXAMPLE: &str = "\
Example:
  viamillipede tx --stats run.jsonl host:7000 < original
  viamillipede report run.jsonl -o run.html";

#[derive(Args)]
pub(super) struct ReportArgs {
    /// What --stats wrote, at either end; of several runs the last is drawn; - is stdin
    stats: PathBuf,
    /// Write the page to FILE, in place of what is there, instead of to stdout (-)
    #[arg(short, long, value_name = "FILE.html")]
    output: Option<PathBuf>,
}

impl ReportArgs {
    pub(super) fn request(self) -> Request {
        Request::Report { stats: self.stats, html: self.output }
    }
}
