//! What is said of files with several mistakes, and of files beside the configuration.

use std::{fs, path::Path};

use super::{super::MAX_RULES, *};

#[test]
fn all_mistakes_of_all_sections_are_found_at_once_in_the_order_of_the_file() {
    let error = parse(
        "mode = \"x\"\n[metrics]\nlisten = \"x\"\n[allowlists.a]\nentries = [\"x\", \"y\"]\n[[rules]]\nname = \"w\"\nports = [0, 70000]\n\
         from = [\"b\", \"c\"]\nfoo = 1\n",
    )
    .unwrap_err();
    let places: Vec<_> = error.diagnostics.iter().map(|found| (found.line, found.column)).collect();
    assert_eq!(
        places,
        [(1, 8), (3, 10), (5, 12), (5, 17), (8, 10), (8, 13), (9, 9), (9, 14), (10, 1)]
    );
    assert_eq!(error.errors(), 9);
    assert_eq!(error.to_string().matches("error:").count(), 9);
}

#[test]
fn several_syntax_errors_are_found_and_nothing_is_made_of_the_rest() {
    let error = parse("mode = audit\ninterfaces = [eth0]\nfoo = 1\n").unwrap_err();
    let lines: Vec<_> = error.diagnostics.iter().map(|found| found.line).collect();
    assert_eq!(lines, [1, 2], "{error}");
}

#[test]
fn columns_count_characters() {
    let error = parse("[allowlists.a]\nentries = [\"größe\", \"1.2.3.4/99\"]").unwrap_err();
    let columns: Vec<_> = error.diagnostics.iter().map(|found| found.column).collect();
    assert_eq!(columns, [12, 21]);
}

#[test]
fn one_rule_too_many() {
    let rule =
        |i: usize| format!("[[rules]]\nname = \"r{i}\"\nports = [{}]\nfrom = \"any\"\n", i + 1);
    let fits: String = (0..MAX_RULES).map(rule).collect();
    assert_eq!(parse(&fits).unwrap().config.rules.len(), MAX_RULES);
    let error = parse(&(fits + &rule(MAX_RULES))).unwrap_err();
    let found = &error.diagnostics[0];
    assert_eq!(found.line as usize, 4 * MAX_RULES + 1);
    assert!(found.message.contains("there are 1025 [[rules]], at most 1024"), "{found}");
}

#[test]
fn mistakes_in_list_files_name_that_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("abuse.txt");
    fs::write(&file, format!("# list\n10.0.0.1\n  bad\n{}", "worse\n".repeat(30))).unwrap();
    let path = folder.path().join("foobar.toml");
    let error = Config::parse("[blocklists.abuse]\nfile = \"abuse.txt\"\n", &path).unwrap_err();
    assert_eq!(error.diagnostics.iter().filter(|found| found.file == file).count(), 21);
    let first = error.diagnostics.iter().find(|found| found.line > 0).unwrap();
    assert_eq!((first.line, first.column), (3, 3));
    assert!(
        error
            .diagnostics
            .iter()
            .any(|found| found.line == 0 && found.message == "11 more lines like these")
    );
}

#[test]
fn a_configuration_that_cannot_be_read() {
    let error = Config::load(Path::new("/no/such/foobar.toml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/no/such/foobar.toml: error: cannot read the configuration: No such file or directory (os error 2)\n  \
         help: give the path of a readable text file with --config"
    );
}
