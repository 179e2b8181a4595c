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
    fs::write(dir.join(INDEX_FILE), r#"{"weight_map": {"a": "../b.safetensors"}}"#).unwrap();
    assert!(message(&dir).contains("../b.safetensors"));
}
