//! Tokenizers, chat templates, the streaming detokeniser and the token shard format.
#![forbid(unsafe_code)]
