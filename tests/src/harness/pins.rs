//! What is pinned, as bpftool sees it.

use std::{collections::BTreeMap, path::Path, process::Command};

use super::try_run;

/// The number of each link to an interface that is pinned below a daemon's folder of pins, by the pin's path.
///
/// # Panics
/// If bpftool cannot read one.
pub fn link_ids(bpf_dir: &Path) -> BTreeMap<String, u64> {
    link_ids_by(bpf_dir, |words| {
        let mut command = Command::new(words[0]);
        let output = try_run(command.args(&words[1..]));
        assert_eq!(output.code, Some(0), "{words:?}: {}", output.text());
        output.stdout
    })
}

/// The same where commands run by `run`, such as in another mount namespace.
pub(super) fn link_ids_by(
    bpf_dir: &Path,
    run: impl Fn(&[&str]) -> String,
) -> BTreeMap<String, u64> {
    let folder = bpf_dir.join("v1/links").display().to_string();
    let pins = run(&["find", &folder, "-name", "*gress-*"]);
    let id = |pin: &str| {
        let said = run(&["bpftool", "--json", "link", "show", "pinned", pin]);
        let said: serde_json::Value = serde_json::from_str(&said).expect("JSON of bpftool");
        said["id"].as_u64().unwrap_or_else(|| panic!("no id of {pin}: {said}"))
    };
    pins.lines().map(|pin| (pin.to_owned(), id(pin))).collect()
}
