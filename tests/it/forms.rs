//! `fmt` and `convert` through the real binary.

use std::fs;

use crate::files::{below, read};
use crate::program::{millstream, millstream_in, root};

#[test]
fn every_pipeline_lies_in_the_one_layout() {
    let ran = millstream(&["fmt", "--check", "pipelines"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
}

#[test]
fn formatting_standard_input_twice_is_formatting_it_once() {
    for path in below("pipelines", &["stream"]) {
        let crammed = read(&path).replace("\n  |>", " |>").replace("  ", " ");
        let once = millstream_in(&root(), &["fmt", "-"], &crammed);
        assert_eq!(once.code, 0, "{}: {}", path.display(), once.err);
        let twice = millstream_in(&root(), &["fmt", "-"], &once.out);
        assert_eq!(twice.out, once.out, "{}", path.display());
    }
}

#[test]
fn a_file_is_formatted_in_place_and_a_broken_one_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("ugly.stream"), "pipeline   p {every:1s}\n").unwrap();
    fs::write(folder.path().join("broken.stream"), "pipeline p {every:1s\n").unwrap();
    fs::write(folder.path().join("other.yaml"), "services:   {}\n").unwrap();
    let ran = millstream_in(folder.path(), &["fmt", "."], "");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("broken.stream:1:"), "{}", ran.err);
    assert_eq!(fs::read_to_string(deep.join("ugly.stream")).unwrap(), "pipeline p { every: 1s }\n");
    assert_eq!(fs::read_to_string(folder.path().join("broken.stream")).unwrap(), "pipeline p {every:1s\n");
    assert_eq!(fs::read_to_string(folder.path().join("other.yaml")).unwrap(), "services:   {}\n");
    assert_eq!(fs::read_dir(&deep).unwrap().count(), 1, "a temporary file was left");
}

#[test]
fn check_says_which_files_would_change_and_changes_none() {
    let folder = tempfile::tempdir().unwrap();
    let ugly = "pipeline   p {every:1s}\n";
    fs::write(folder.path().join("ugly.stream"), ugly).unwrap();
    let ran = millstream_in(folder.path(), &["fmt", "--check", "ugly.stream"], "");
    assert_eq!((ran.code, ran.out.as_str()), (1, "ugly.stream\n"));
    assert_eq!(fs::read_to_string(folder.path().join("ugly.stream")).unwrap(), ugly);
}

#[test]
fn every_pipeline_survives_the_way_to_yaml_and_back() {
    for path in below("pipelines", &["stream"]) {
        let name = path.to_str().unwrap();
        let yaml = millstream(&["convert", "--to", "yaml", name]);
        assert_eq!(yaml.code, 0, "{name}: {}", yaml.err);
        let back = millstream_in(&root(), &["convert", "--to", "stream", "-"], &yaml.out);
        assert_eq!(back.code, 0, "{name}: {}", back.err);
        assert_eq!(back.out, read(&path), "{name}");
    }
}

#[test]
fn every_yaml_twin_is_its_pipeline_converted() {
    let pipelines = below("pipelines", &["stream"]).into_iter().filter(|path| !path.starts_with("pipelines/lib"));
    let complaints = pipelines.filter_map(|path| {
        let ran = millstream(&["convert", "--to", "yaml", path.to_str().unwrap()]);
        crate::files::differs(path.with_extension("yaml"), &ran.out)
    });
    crate::files::none(complaints.collect());
}

#[test]
fn convert_writes_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.stream"), "pipeline p { every: 1s }\n").unwrap();
    let ran = millstream_in(folder.path(), &["convert", "--to", "yaml", "p.stream", "-o", "p.yaml"], "");
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert!(fs::read_to_string(folder.path().join("p.yaml")).unwrap().starts_with("pipeline:"));
}

#[test]
fn what_the_other_form_cannot_hold_is_not_written() {
    let twice = "pipeline p { every: 1s }\nlet a = 1\nlet a = 2\n";
    let ran = millstream_in(&root(), &["convert", "--to", "yaml", "-"], twice);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("cannot be written in the other form"), "{}", ran.err);
}
