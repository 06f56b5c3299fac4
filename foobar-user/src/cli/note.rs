//! What the operator should know besides the answer.

use serde_json::json;

use super::options::Output;

/// Prints a note to standard error.
pub fn tell(output: Output, text: &str) {
    match output {
        Output::Text => eprintln!("note: {text}"),
        Output::Json => eprintln!("{}", json!({ "note": text })),
    }
}
