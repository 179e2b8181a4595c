//! Fetches a model by uri (file, hf) into a local cache, with resume and hash check.
#![forbid(unsafe_code)]
