//! What `config.json` means, as transformers 5.24.0 reads it (`AutoConfig.from_pretrained`, run on each of these).

use serde_json::{Value, json};

use crate::config::{ModelConfig, TokenIds};

/// A LLaMA's config with `changes` in it; null removes nothing, it is written.
fn with(changes: Value) -> Result<ModelConfig, String> {
    let mut config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 289, "max_position_embeddings": 256,
    });
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    let config: ModelConfig = serde_json::from_value(config).map_err(|error| error.to_string())?;
    config.validate().map_err(|error| error.to_string()).map(|()| config)
}

fn refusal(changes: Value) -> String {
    with(changes).expect_err("is refused")
}

#[test]
fn absent_and_null_keys_mean_transformers_defaults() {
    let nothing = json!({"head_dim": null, "num_key_value_heads": null, "rope_theta": null, "rope_scaling": null,
        "rope_parameters": null, "eos_token_id": null, "bos_token_id": null, "torch_dtype": null, "dtype": null,
        "sliding_window": null, "quantization_config": null, "tie_word_embeddings": null});
    for config in [with(json!({})).unwrap(), with(nothing).unwrap()] {
        assert_eq!((config.head_dim, config.num_key_value_heads), (8, 2));
        assert_eq!((config.rope_theta, config.rms_norm_eps), (10_000.0, 1e-6));
        assert_eq!((config.tie_word_embeddings, config.initializer_range), (false, 0.02));
        assert_eq!((config.bos_token_id, config.eos_token_id, config.dtype), (None, None, None));
    }
}

#[test]
fn the_newer_key_of_the_number_format_wins() {
    for (changes, want) in [
        (json!({"torch_dtype": "float16", "dtype": "float16"}), "float16"),
        (json!({"torch_dtype": "bfloat16", "dtype": "float32"}), "float32"),
        (json!({"torch_dtype": "bfloat16"}), "bfloat16"),
        (json!({"dtype": "torch.float16", "torch_dtype": null}), "float16"),
    ] {
        assert_eq!(with(changes.clone()).unwrap().dtype.as_deref(), Some(want), "{changes}");
    }
}

#[test]
fn whole_numbers_may_be_written_as_floats_and_broken_ones_are_named() {
    let config = with(json!({"hidden_size": 16.0, "vocab_size": 289.0, "max_position_embeddings": 256.0})).unwrap();
    assert_eq!((config.hidden_size, config.vocab_size, config.max_position_embeddings), (16, 289, 256));
    assert_eq!(with(json!({"rope_theta": 500_000})).unwrap().rope_theta, 500_000.0);
    assert_eq!(refusal(json!({"hidden_size": 16.5})), "hidden_size is 16.5; write a whole number");
    assert_eq!(refusal(json!({"hidden_size": "16"})), "hidden_size is \"16\"; write a whole number");
    assert_eq!(refusal(json!({"num_hidden_layers": -1})), "num_hidden_layers is -1; write a whole number");
    assert_eq!(refusal(json!({"rms_norm_eps": "NaN"})), "rms_norm_eps is \"NaN\"; write a number");
    assert_eq!(refusal(json!({"tie_word_embeddings": "true"})), "tie_word_embeddings is \"true\"; write true or false");
    assert!(refusal(json!({"hidden_size": null})).starts_with("hidden_size is missing"));
}

#[test]
fn ids_that_can_be_no_ids_are_none() {
    let ids = |value: Value| with(json!({"eos_token_id": value})).unwrap().eos_token_id.map(|ids| ids.to_vec());
    assert_eq!(ids(json!(2)), Some(vec![2]));
    assert_eq!(ids(json!(2.0)), Some(vec![2]));
    assert_eq!(ids(json!([1, -1, 2])), Some(vec![1, 2]));
    for none in [json!(-1), json!([]), json!([null]), json!("2"), json!(1u64 << 40)] {
        assert_eq!(ids(none.clone()), None, "{none}");
    }
    let begin = |value: Value| with(json!({"bos_token_id": value})).unwrap().bos_token_id;
    assert_eq!(
        (begin(json!(1)), begin(json!([1])), begin(json!(-1)), begin(json!(null))),
        (Some(1), Some(1), None, None)
    );
}

#[test]
fn the_rotary_base_is_found_wherever_versions_write_it() {
    let default = |theta: f64| json!({"rope_type": "default", "rope_theta": theta});
    for (changes, want) in [
        (json!({"rope_theta": 30000.0}), 30000.0),
        (json!({"rope_parameters": default(5e5)}), 5e5),
        (json!({"rope_theta": 1e4, "rope_parameters": default(5e5)}), 5e5),
        (json!({"rope_theta": 3e4, "rope_parameters": {"rope_type": "default"}}), 3e4),
        (json!({"rope_theta": 3e4, "rope_parameters": null}), 3e4),
        (json!({"rope_theta": 3e4, "rope_parameters": {}, "rope_scaling": {}}), 3e4),
        (json!({"rope_theta": 3e4, "rope_scaling": {"type": "default"}}), 3e4),
        (json!({"rope_theta": 3e4, "rope_scaling": false}), 3e4),
        (json!({"rope_theta": 3e4, "rope_scaling": null, "rope_parameters": default(5e5)}), 5e5),
        // Scaling that says anything takes the place of the parameters, with their base.
        (json!({"rope_theta": 3e4, "rope_scaling": {"type": "default"}, "rope_parameters": default(5e5)}), 3e4),
    ] {
        let config = with(changes.clone()).unwrap();
        assert_eq!((config.rope_theta, config.rope_scaling), (want, None), "{changes}");
    }
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    for (changes, want) in [
        (json!({"rope_scaling": {"type": "linear", "factor": 2.0}}), "rope_scaling is {\"type\":\"linear\""),
        (
            json!({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}),
            "rope_scaling is {\"rope_type\":\"yarn\"",
        ),
        (
            json!({"rope_parameters": {"rope_type": "default"}, "rope_scaling": {"rope_type": "llama3"}}),
            "rope_scaling is {\"rope_type\":\"llama3\"",
        ),
        (json!({"rope_scaling": "linear"}), "rope_scaling is \"linear\""),
        (json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor is 0.5"),
        (json!({"rope_parameters": {"partial_rotary_factor": 0.5}}), "partial_rotary_factor is 0.5"),
        (json!({"hidden_act": "gelu"}), "hidden_act is \"gelu\""),
        (json!({"attention_bias": true}), "attention_bias is true"),
        (json!({"mlp_bias": true}), "mlp_bias is true"),
        (json!({"sliding_window": 128}), "sliding_window is 128"),
        (json!({"layer_types": ["sliding_attention"]}), "layer_types has \"sliding_attention\""),
        (json!({"num_local_experts": 8}), "num_local_experts is 8"),
        (json!({"quantization_config": {"quant_method": "awq"}}), "quantization_config is there (awq)"),
        (json!({"model_type": "mistral", "architectures": null}), "model_type is \"mistral\""),
        (
            json!({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}),
            "architectures is [\"Qwen2ForCausalLM\"]",
        ),
        (json!({"model_type": "mistral"}), "model_type is \"mistral\""),
        (json!({"model_type": null, "architectures": null}), "model_type is missing"),
    ] {
        let have = refusal(changes.clone());
        assert!(have.starts_with(want), "{changes}: {have}");
    }
}

#[test]
fn what_means_nothing_to_llama_is_passed_over() {
    with(json!({
        "use_cache": true, "pretraining_tp": 2, "_name_or_path": "x", "transformers_version": "4.31.0", "foo": "NaN",
        "attention_dropout": 0.0, "hidden_act": "swish", "partial_rotary_factor": 1.0, "layer_types": ["full_attention"],
        "sliding_window": 256, "num_experts": 0, "pad_token_id": -1,
    }))
    .unwrap();
    with(json!({"sliding_window": 8, "use_sliding_window": false})).unwrap();
    assert_eq!(with(json!({"architectures": ["LlamaModel"]})).unwrap().architectures, ["LlamaForCausalLM"]);
    assert_eq!(with(json!({"model_type": null})).unwrap().model_type, "llama");
}

#[test]
fn both_forms_of_the_rotary_base_are_written_and_read_back() {
    let config = ModelConfig { rope_theta: 5e5, eos_token_id: Some(TokenIds::One(7)), ..ModelConfig::default() };
    let written = Value::Object(config.to_json());
    assert_eq!(written["rope_parameters"], json!({"rope_theta": 5e5, "rope_type": "default"}));
    assert_eq!(written["rope_theta"], 5e5);
    assert_eq!(serde_json::from_value::<ModelConfig>(written).unwrap(), config);
}
