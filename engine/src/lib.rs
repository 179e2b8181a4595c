//! The model runtime: token ids in, logits or gradients out.
