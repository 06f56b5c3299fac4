//! The binary `foobar`; its commands are in [`foobar_user::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    foobar_user::cli::run()
}
