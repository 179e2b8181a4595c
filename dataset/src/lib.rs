//! The Dataset pod: read, filter, deduplicate, tokenise, pack, shard.
#![forbid(unsafe_code)]
