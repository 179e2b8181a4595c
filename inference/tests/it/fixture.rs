//! A small random model in Hugging Face's layout, a server for it, and a client that reads what comes back.

use std::{
    path::Path,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use bedplate_crds::{
    job::{InferenceJob, JobMetadata},
    model_deployment::EngineArgs,
};
use bedplate_engine::{
    ModelConfig, ParamLayout, Weights,
    hf_folder::{ModelFolder, write_model_folder},
    safetensors_file::NamedTensor,
    serving::{Chunk, KvCache, Runner, ServingModel},
};
use bedplate_inference::serve::{HubAccess, Server};
use bedplate_tokenizer::{Tokenizer, train_byte_level_bpe};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

/// Name the endpoints answer to.
pub const MODEL: &str = "tiny";
/// Longest prompt plus answer of the tiny model: long enough for answers that outlast a test.
pub const MAX_MODEL_LEN: u32 = 65536;
/// How long a test waits for what must come to pass.
pub const DEADLINE: Duration = Duration::from_secs(60);

const TEXT: [&str; 4] = [
    "the quick brown fox jumps over the lazy dog and the quick dog jumps over the lazy fox",
    "grüße aus köln, schöne grüße, schöne straßen, schöne größen 🦀🦀🦀 über über über",
    "fn main() { println!(\"hello\"); } fn other() { println!(\"world\"); }",
    "日本語の文章です。日本語の文章です。",
];
const CHAT_TEMPLATE: &str = "{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}\
                             {% if add_generation_prompt %}<assistant>{% endif %}";

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    write_tiny_model(&folder.path().join("model"), Some(CHAT_TEMPLATE));
    folder
});

/// The tiny model's folder.
pub fn model_folder() -> std::path::PathBuf {
    FOLDER.path().join("model")
}

/// Writes the tiny model; the same bytes each time.
pub fn write_tiny_model(folder: &Path, chat_template: Option<&str>) {
    write_changed_model(folder, chat_template, |_| {}, |_, _| {});
}

/// Writes the tiny model with another configuration, or with other weights: `weights` is given each parameter by name.
pub fn write_changed_model(
    folder: &Path,
    chat_template: Option<&str>,
    change: impl FnOnce(&mut ModelConfig),
    weights: impl Fn(&str, &mut [f32]),
) {
    let tokenizer = train_byte_level_bpe(TEXT.iter(), 400).unwrap();
    let mut config = ModelConfig {
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 8,
        vocab_size: tokenizer.vocab_size(),
        max_position_embeddings: MAX_MODEL_LEN as usize,
        // Wide enough that the likeliest token stands out and changes from place to place.
        initializer_range: 0.4,
        ..ModelConfig::default()
    };
    change(&mut config);
    let layout = Arc::new(ParamLayout::new(&config));
    let mut values = Weights::init(layout.clone(), &config, 7).as_slice().to_vec();
    layout.params().iter().for_each(|param| weights(&param.name, &mut values[param.range.clone()]));
    let tensors: Vec<NamedTensor<'_>> = layout
        .params()
        .iter()
        .map(|param| NamedTensor {
            name: param.name.clone(),
            shape: param.shape.clone(),
            data: &values[param.range.clone()],
        })
        .collect();
    let tokenizer_config = json!({ "eos_token": "<|endoftext|>", "chat_template": chat_template });
    let files =
        [("tokenizer.json", tokenizer.to_json().unwrap()), ("tokenizer_config.json", tokenizer_config.to_string())];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_bytes()));
    write_model_folder(folder, &serde_json::to_value(&config).unwrap(), &tensors, &files).unwrap();
}

/// A job that serves the tiny model on free ports.
pub fn job(folder: &Path) -> InferenceJob {
    InferenceJob {
        metadata: JobMetadata { name: MODEL.into(), namespace: "default".into(), traceparent: None },
        model_uri: format!("file:{}", folder.display()),
        served_model_name: MODEL.into(),
        engine: EngineArgs::default(),
        http_address: "127.0.0.1:0".into(),
        grpc_address: Some("127.0.0.1:0".into()),
        cache_dir: std::env::temp_dir(),
        progress_file: std::env::temp_dir().join("unused.jsonl"),
        reporting: None,
        threads: 2,
        kv_cache_bytes: 64 << 20,
        allow_any_origin: false,
    }
}

/// A running server; stops when dropped.
pub struct Running {
    pub api: Api,
    pub grpc_url: String,
    pub service: Arc<bedplate_inference::service::Service>,
    stop: Option<oneshot::Sender<()>>,
    pub served: JoinHandle<Result<(), bedplate_inference::serve::ServeError>>,
}

impl Running {
    /// Serves the tiny model with the engine's default limits.
    pub fn tiny() -> Self {
        Self::with(|_| {})
    }

    /// Serves the tiny model with a changed job.
    pub fn with(change: impl FnOnce(&mut InferenceJob)) -> Self {
        Self::draining(change, Duration::from_secs(20))
    }

    /// The same with another time for what runs to finish.
    pub fn draining(change: impl FnOnce(&mut InferenceJob), drain_timeout: Duration) -> Self {
        let mut job = job(&model_folder());
        change(&mut job);
        let server = Server::start(&job, HubAccess::default()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (url, grpc_url, service) = (server.url(), server.grpc_url().unwrap(), server.service().clone());
        let stopped = async move {
            let _ = stopped.await;
        };
        let served = tokio::spawn(server.run(stopped, drain_timeout));
        Self { api: Api::new(url), grpc_url, service, stop: Some(stop), served }
    }

    /// Asks the server to stop, as a signal would.
    pub fn stop(&mut self) {
        self.stop.take().expect("asked once").send(()).unwrap();
    }
}

/// A client of one endpoint.
#[derive(Clone)]
pub struct Api {
    pub url: String,
    pub client: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Api {
    pub fn new(url: String) -> Self {
        // Only the first of several tests in this process installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { url, client: reqwest::Client::new() }
    }

    pub async fn get_text(&self, path: &str) -> String {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap().text().await.unwrap()
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Reply { status, headers, body }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.client.get(format!("{}{path}", self.url))).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(self.client.post(format!("{}{path}", self.url)).json(&body)).await
    }

    /// Posts and expects an answer.
    pub async fn ask(&self, path: &str, body: Value) -> Value {
        let reply = self.post(path, body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    /// Posts a streaming request and reads its events to the end.
    pub async fn stream(&self, path: &str, mut body: Value) -> Vec<Value> {
        body["stream"] = true.into();
        let response = self.client.post(format!("{}{path}", self.url)).json(&body).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut events = events(&response.text().await.unwrap());
        assert_eq!(events.pop(), Some(Value::from("[DONE]")));
        events
    }

    /// The text that answers `body` on `/v1/completions`, its first choice.
    pub async fn complete(&self, body: Value) -> String {
        let answer = self.ask("/v1/completions", body).await;
        answer["choices"][0]["text"].as_str().unwrap().to_owned()
    }

    /// The value of the first metric whose line starts with `name`.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.get_text("/metrics").await;
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Waits until a metric satisfies `wanted`.
    pub async fn await_metric(&self, name: &str, wanted: impl Fn(f64) -> bool) {
        let begun = Instant::now();
        loop {
            let value = self.metric(name).await;
            if wanted(value) {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "{name} stays {value}");
            tokio::task::yield_now().await;
        }
    }
}

/// The events of a stream; what is no JSON stays text.
pub fn events(text: &str) -> Vec<Value> {
    let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect()
}

/// What a stream that was cut off must look like: nothing in it says that the answer is complete, and its last event is an
/// error with `code`.
pub fn assert_cut_off(text: &str, code: &str) {
    let events = events(text);
    let (last, answer) = events.split_last().expect("a stream has events");
    assert_eq!(last["error"]["code"], code, "{last}");
    assert!(answer.iter().all(|event| event["choices"][0]["finish_reason"].is_null() && event != "[DONE]"), "{text}");
}

/// A completion request that draws `max_tokens` tokens whatever comes.
pub fn completion(prompt: impl Into<Value>, max_tokens: u32) -> Value {
    json!({ "prompt": prompt.into(), "max_tokens": max_tokens, "temperature": 0, "ignore_eos": true })
}

/// The tiny model computed directly by the engine, without scheduler, batching or HTTP.
pub struct Direct {
    pub tokenizer: Tokenizer,
    model: Arc<ServingModel>,
}

impl Direct {
    pub fn tiny() -> Self {
        let mut folder = ModelFolder::open(&model_folder()).unwrap();
        let model = Arc::new(ServingModel::from_folder(&mut folder, false).unwrap());
        Self { tokenizer: Tokenizer::from_folder(model_folder()).unwrap(), model }
    }

    /// The likeliest continuation, recomputed from the beginning for every token.
    pub fn greedy(&self, prompt: &[u32], max_tokens: usize) -> Vec<u32> {
        let mut tokens = prompt.to_vec();
        for _ in 0..max_tokens {
            let logits = self.logits(&tokens);
            let best = (0..logits.len()).fold(0, |best, id| if logits[id] > logits[best] { id } else { best });
            tokens.push(best as u32);
        }
        tokens.split_off(prompt.len())
    }

    /// Logits after the last of `tokens`.
    pub fn logits(&self, tokens: &[u32]) -> Vec<f32> {
        let mut cache = KvCache::new(self.model.config(), 1, tokens.len());
        let mut runner = Runner::new(self.model.clone());
        let chunk = Chunk { tokens, start: 0, block_table: &[0], wants_logits: true };
        runner.forward(&mut cache, &[chunk]).to_vec()
    }
}
