//! Tokenizers, chat templates, the streaming detokeniser and the token shard format.
//!
//! Shared by the dataset, trainer and inference pods. Never touches the network, and reads only the files it is named.
#![deny(unsafe_code)]

pub mod chat;
mod ends;
pub mod folder;
pub mod gguf;
pub mod shard;
pub mod stream;
mod templates;
pub mod tokenizer;
pub mod train;

pub use chat::{ChatMessage, ChatTemplate, ChatTemplateError, RenderOptions};
pub use gguf::GgufVocab;
pub use shard::{ShardWriter, TokenShard};
pub use stream::DecodeStream;
pub use tokenizer::{Tokenizer, TokenizerError};
pub use train::{END_OF_TEXT, train_byte_level_bpe};
