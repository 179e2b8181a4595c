//! The file that models bring along.

use std::fs;

use super::{FILE, SamplingDefaults};
use crate::request::GenerationOptions;

fn read(text: &str) -> Result<SamplingDefaults, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), text).unwrap();
    SamplingDefaults::read(folder.path()).map_err(|error| error.to_string())
}

#[test]
fn a_request_goes_before_the_model_and_the_model_before_the_api() {
    let defaults = read(
        r#"{"bos_token_id": 1, "do_sample": true, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "transformers_version": "4.44.0"}"#,
    )
    .unwrap();
    let asked = GenerationOptions { temperature: Some(0.0), ..GenerationOptions::default() };
    let filled = defaults.fill(asked);
    assert_eq!((filled.temperature, filled.top_p, filled.top_k), (Some(0.0), Some(0.9), Some(20)));
    assert_eq!((filled.min_p, filled.repetition_penalty), (None, None));
}

#[test]
fn a_folder_without_the_file_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(SamplingDefaults::read(folder.path()).unwrap(), SamplingDefaults::default());
}

#[test]
fn what_a_request_would_be_refused_for_is_refused_here_by_name() {
    for (text, named) in [
        (r#"{"temperature": -0.5}"#, "temperature is -0.5"),
        (r#"{"top_k": -2}"#, "top_k is -2"),
        (r#"{"top_p": "much"}"#, "is not a generation config"),
        ("{", "is not a generation config"),
    ] {
        let said = read(text).unwrap_err();
        assert!(said.contains(FILE) && said.contains(named), "{text}: {said}");
    }
}
