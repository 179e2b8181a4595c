//! Round trips, and what damaged folders are told.

use std::{collections::HashMap, fs};

use half::{bf16, f16};
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;

use super::*;

fn tensors<'data>(a: &'data [f32], b: &'data [f32]) -> Vec<NamedTensor<'data>> {
    vec![
        NamedTensor { name: "z.weight".to_owned(), shape: vec![2, 3], data: a },
        NamedTensor { name: "a.weight".to_owned(), shape: vec![4], data: b },
    ]
}

const A: [f32; 6] = [1.0, -2.5, 3.25, 0.0, f32::MIN_POSITIVE, -1e30];
const B: [f32; 4] = [9.0, 8.0, 7.0, 6.0];

fn read(dir: &Path, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelFolderError> {
    let mut out = vec![0.0; shape.iter().product()];
    ModelFolder::open(dir)?.read_f32(name, shape, &mut out)?;
    Ok(out)
}

#[test]
fn what_is_written_is_read_back_from_one_file_and_from_several() {
    for max_shard_bytes in [usize::MAX, 1] {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("model");
        write_sharded(&dir, &json!({"hidden_size": 3}), &tensors(&A, &B), &[("x.json", b"{}")], max_shard_bytes)
            .unwrap();
        assert_eq!(dir.join(INDEX_FILE).exists(), max_shard_bytes == 1);
        assert_eq!(read(&dir, "z.weight", &[2, 3]).unwrap(), A);
        assert_eq!(read(&dir, "a.weight", &[4]).unwrap(), B);
        let folder = ModelFolder::open(&dir).unwrap();
        assert_eq!(folder.config()["hidden_size"], 3);
        assert_eq!(folder.tensor_names().collect::<Vec<_>>(), ["a.weight", "z.weight"]);
        assert!(!folder.contains("lm_head.weight"));
        assert_eq!(fs::read(dir.join("x.json")).unwrap(), b"{}");
    }
}

#[test]
fn the_reference_reader_accepts_our_file() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("t.safetensors");
    let written = write_safetensors(&path, &tensors(&A, &B)).unwrap();
    let bytes = fs::read(&path).unwrap();
    assert_eq!(written.bytes, bytes.len() as u64);
    assert_eq!(written.blake3, blake3::hash(&bytes).to_hex().to_string());
    let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(reference.tensor("a.weight").unwrap().data(), bytemuck::cast_slice::<f32, u8>(&B));
}

#[test]
fn half_precision_becomes_f32() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(CONFIG_FILE), "{}").unwrap();
    let wide = [1.0f32, -0.5, 65504.0];
    let narrow: Vec<u8> = wide.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
    let brain: Vec<u8> = wide.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect();
    let views = HashMap::from([
        ("narrow", TensorView::new(Dtype::F16, vec![3], &narrow).unwrap()),
        ("brain", TensorView::new(Dtype::BF16, vec![3], &brain).unwrap()),
        ("whole", TensorView::new(Dtype::I32, vec![1], &[0; 4]).unwrap()),
    ]);
    fs::write(root.path().join(SINGLE_FILE), safetensors::serialize(views, None).unwrap()).unwrap();
    assert_eq!(read(root.path(), "narrow", &[3]).unwrap(), wide);
    assert_eq!(read(root.path(), "brain", &[3]).unwrap(), [1.0, -0.5, 65536.0]);
    assert!(read(root.path(), "whole", &[1]).unwrap_err().to_string().contains("I32"));
}

/// A folder whose weights file has this header over these bytes.
fn handmade(dir: &Path, header: &str, data: &[u8]) {
    fs::write(dir.join(CONFIG_FILE), "{}").unwrap();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat();
    fs::write(dir.join(SINGLE_FILE), bytes).unwrap();
}

#[test]
fn headers_are_read_as_the_reference_reads_them() {
    let root = tempfile::tempdir().unwrap();
    let entry = |dtype: &str, shape: &str, from: usize, to: usize| {
        format!(r#"{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}],"more":1}}"#)
    };
    // A tensor at an odd address, an empty one, a scalar, names out of order, spaces around, no metadata, a name twice.
    let header = format!(
        r#"  {{"__metadata__":null,"z":{},"b":{},"a":{},"e":{},"b":{}}} "#,
        entry("F32", "[]", 5, 9),
        entry("I8", "[9]", 0, 1),
        entry("F32", "[1]", 1, 5),
        entry("F32", "[0,3]", 9, 9),
        entry("U8", "[1]", 0, 1),
    );
    let data = [&[7u8][..], &2.5f32.to_le_bytes(), &(-4.0f32).to_le_bytes()].concat();
    handmade(root.path(), &header, &data);
    assert_eq!(read(root.path(), "a", &[1]).unwrap(), [2.5]);
    assert_eq!(read(root.path(), "z", &[]).unwrap(), [-4.0]);
    assert_eq!(read(root.path(), "e", &[0, 3]).unwrap(), [0.0; 0]);
    for (first, second, len) in [((0, 4), (2, 6), 6), ((0, 4), (6, 10), 10), ((4, 8), (8, 12), 12), ((0, 4), (4, 8), 9)]
    {
        let header = format!(
            r#"{{"a":{},"b":{}}}"#,
            entry("F32", "[1]", first.0, first.1),
            entry("F32", "[1]", second.0, second.1)
        );
        handmade(root.path(), &header, &vec![0; len]);
        let error = ModelFolder::open(root.path()).unwrap_err();
        assert!(error.is_corruption(), "{first:?} {second:?} in {len} bytes: {error}");
    }
}

#[test]
fn a_number_format_that_is_not_supported_is_named_where_it_is_asked_for_and_is_no_corruption() {
    let root = tempfile::tempdir().unwrap();
    let header = r#"{"new":{"dtype":"I4","shape":[8],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},
        "wide":{"dtype":"F64","shape":[1],"data_offsets":[8,16]},"eight":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[16,18]}}"#;
    handmade(root.path(), header, &[&[0; 4][..], &1.5f32.to_le_bytes(), &[0; 10]].concat());
    assert_eq!(read(root.path(), "b", &[1]).unwrap(), [1.5]);
    for (name, shape, dtype) in [("new", 8, "I4"), ("wide", 1, "F64"), ("eight", 2, "F8_E4M3")] {
        let error = read(root.path(), name, &[shape]).unwrap_err();
        assert!(error.to_string().contains(&format!("is {dtype}, which is not supported")), "{error}");
        assert!(!error.is_corruption());
    }
    // A hole is a hole, whatever the formats around it.
    handmade(root.path(), &header.replace("[0,4]", "[0,3]"), &[0; 18]);
    assert!(ModelFolder::open(root.path()).unwrap_err().is_corruption());
}

#[test]
fn a_whole_file_wins_over_an_index_that_is_left_beside_it() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("model");
    write_model_folder(&dir, &json!({}), &tensors(&A, &B), &[]).unwrap();
    for stale in [r#"{"weight_map": {"a.weight": "model-00001-of-00002.safetensors"}}"#, "not even JSON"] {
        fs::write(dir.join(INDEX_FILE), stale).unwrap();
        assert_eq!(read(&dir, "a.weight", &[4]).unwrap(), B);
    }
}

#[test]
fn what_is_no_safetensors_is_called_by_its_name() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join(CONFIG_FILE), "{}").unwrap();
    fs::write(root.path().join("pytorch_model.bin"), "").unwrap();
    let error = ModelFolder::open(root.path()).unwrap_err();
    assert!(error.to_string().contains("has its weights as pytorch_model.bin, which is not supported"), "{error}");
    fs::write(root.path().join(SINGLE_FILE), "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
        .unwrap();
    let error = ModelFolder::open(root.path()).unwrap_err();
    assert!(error.to_string().contains("Git LFS pointer") && !error.is_corruption(), "{error}");
}

#[test]
fn damaged_folders_are_told_what_is_wrong() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("model");
    let message = |dir: &Path| ModelFolder::open(dir).unwrap_err().to_string();
    assert!(message(&dir).contains("config.json"));

    write_model_folder(&dir, &json!({}), &tensors(&A, &B), &[]).unwrap();
    assert!(read(&dir, "z.weight", &[3, 2]).unwrap_err().to_string().contains("[2, 3]"));
    assert!(read(&dir, "missing", &[1]).unwrap_err().to_string().contains("no tensor missing"));

    let weights = dir.join(SINGLE_FILE);
    let whole = fs::read(&weights).unwrap();
    for cut in [0, 4, 20, whole.len() - 1] {
        fs::write(&weights, &whole[..cut]).unwrap();
        assert!(message(&dir).contains("model.safetensors"), "cut at {cut}: {}", message(&dir));
    }
    let mut garbage = whole.clone();
    garbage[8] = b'x';
    fs::write(&weights, &garbage).unwrap();
    assert!(message(&dir).contains("not a safetensors file"));
    garbage[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    fs::write(&weights, &garbage).unwrap();
    assert!(message(&dir).contains("claims"));

    fs::write(dir.join(CONFIG_FILE), "{").unwrap();
    assert!(message(&dir).contains("not valid JSON"));
    fs::write(dir.join(CONFIG_FILE), "{}").unwrap();
    fs::remove_file(&weights).unwrap();
    fs::write(dir.join(INDEX_FILE), r#"{"weight_map": {"a": "../b.safetensors"}}"#).unwrap();
    assert!(message(&dir).contains("../b.safetensors"));
}
