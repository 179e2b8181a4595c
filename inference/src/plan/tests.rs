//! Refusals with their numbers, and the sizes by hand.

use bedplate_crds::{job::JobMetadata, model_deployment::EngineArgs};

use super::*;

fn job(engine: EngineArgs, kv_cache_bytes: u64) -> InferenceJob {
    InferenceJob {
        metadata: JobMetadata { name: "chat".into(), namespace: "default".into(), traceparent: None },
        model_uri: "file:/model".into(),
        served_model_name: "chat".into(),
        engine,
        http_address: "127.0.0.1:0".into(),
        grpc_address: None,
        cache_dir: "/cache".into(),
        progress_file: "/progress.jsonl".into(),
        reporting: None,
        threads: 1,
        kv_cache_bytes,
        allow_any_origin: false,
    }
}

fn refusal(engine: EngineArgs, kv_cache_bytes: u64) -> String {
    plan(&job(engine, kv_cache_bytes), &ModelConfig::default(), 1 << 30).expect_err("this must be refused").to_string()
}

#[test]
fn limits_that_serve_nobody_are_refused_by_name() {
    let args = EngineArgs::default;
    assert!(refusal(EngineArgs { max_num_seqs: 0, ..args() }, 0).starts_with("engine.maxNumSeqs is 0"));
    assert!(refusal(EngineArgs { max_queue_len: 0, ..args() }, 0).starts_with("engine.maxQueueLen is 0"));
    assert!(refusal(EngineArgs { max_model_len: Some(0), ..args() }, 0).starts_with("engine.maxModelLen is 0"));
    let small = EngineArgs { max_num_batched_tokens: 4, max_num_seqs: 5, ..args() };
    assert!(refusal(small, 0).starts_with("engine.maxNumBatchedTokens is 4"));
    let long = refusal(EngineArgs { max_model_len: Some(513), ..args() }, 0);
    assert_eq!(long, "engine.maxModelLen is 513, but the model goes up to 512 tokens; write at most 512");
}

#[test]
fn a_cache_without_room_for_one_sequence_is_refused_with_the_numbers() {
    let per_block = KvCache::bytes_per_block(&ModelConfig::default(), 16);
    let text = refusal(EngineArgs::default(), 31 * per_block);
    for number in [31 * per_block, 31 * 16, 512, 32 * per_block] {
        assert!(text.contains(&format!(" {number} ")), "{number} is missing in: {text}");
    }
    let shorter = EngineArgs { max_model_len: Some(31 * 16), ..EngineArgs::default() };
    assert!(plan(&job(shorter, 31 * per_block), &ModelConfig::default(), 0).is_ok(), "the remedy must help");
}

#[test]
fn the_cache_takes_its_share_but_no_more_than_can_be_used() {
    let config = ModelConfig::default();
    let per_block = KvCache::bytes_per_block(&config, 16);
    let sizes = |available| plan(&job(EngineArgs::default(), 0), &config, available).unwrap();
    assert_eq!(sizes(4 * 100 * per_block).num_blocks, 100);
    assert_eq!(sizes(u64::MAX / 2).num_blocks, 16 * 512 / 16);
    let asked = plan(&job(EngineArgs::default(), 777 * per_block + 1), &config, 0).unwrap();
    assert_eq!((asked.num_blocks, asked.kv_cache_bytes), (777, 777 * per_block));
}
