//! How an error is told: what failed, why, what to do.

use std::process::ExitCode;

use serde_json::json;

use super::options::Output;
use crate::control::refusal::{explain, remedy};

/// Prints an error to standard error.
pub fn report(error: &anyhow::Error, output: Output) -> ExitCode {
    let message = explain(error);
    let help = remedy(error);
    match output {
        Output::Text => {
            eprintln!("error: {message}");
            if let Some(help) = help {
                eprintln!("  help: {help}");
            }
        }
        Output::Json => eprintln!("{}", json!({ "error": message, "help": help })),
    }
    ExitCode::FAILURE
}
