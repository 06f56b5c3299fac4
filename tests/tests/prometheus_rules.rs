//! The rules and alerts of `deploy/prometheus`, by Prometheus's own tool.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use foobar_site::{services::prometheus::RULES, tempo::Tempo};
use foobar_tests::harness::{run, try_run};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus")
}

fn tests() -> Vec<PathBuf> {
    let files = fs::read_dir(folder().join("tests")).expect("the tests").flatten();
    files.map(|entry| entry.path()).collect()
}

#[test]
fn every_rule_does_what_its_test_says() {
    let mut promtool = Command::new("promtool");
    let output = try_run(promtool.args(["test", "rules"]).args(tests()));
    assert_eq!(output.code, Some(0), "{}", output.text());
}

#[test]
fn every_alert_is_tested_silent_and_firing() {
    let alerts = fs::read_to_string(folder().join("alerts.yml")).expect("the alerts");
    let names: Vec<_> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 15, "{names:?}");
    let tests: String =
        tests().iter().map(|file| fs::read_to_string(file).expect("a test")).collect();
    for name in names {
        let silent = tests.lines().any(|line| {
            line.contains(&format!("{{ alertname: {name},")) && line.contains("exp_alerts: []")
        });
        let firing = tests.contains(&format!("- alertname: {name}\n"));
        assert!(silent && firing, "{name}: tested silent: {silent}, firing: {firing}");
    }
}

#[test]
fn the_faster_copy_of_the_demonstration_is_valid_and_has_the_same_rules() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in RULES {
        let faster = Tempo::Demonstration.apply(text);
        assert_eq!(faster.lines().count(), text.lines().count());
        assert_ne!(faster, text);
        assert_eq!(Tempo::Production.apply(text), text);
        let file = folder.path().join(name);
        fs::write(&file, faster).expect("a file");
        run("promtool", &["check", "rules", &file.display().to_string()]);
    }
}
