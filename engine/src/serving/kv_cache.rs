//! Keys and values of all sequences, in blocks that block tables point to.
//!
//! Owns the layout and writing. A block's keys lie with positions fastest, so that sixteen scores are one vector of
//! lanes; its values lie with the head's width fastest, so that an output is. Never knows whose block is whose.

use half::f16;

use crate::config::ModelConfig;
use crate::cpu::lanes::{Element, LANES};

/// How the cache stores a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvFormat {
    /// Exact, twice the memory.
    F32,
    /// Half the memory; what llama.cpp and vLLM store for half-precision models.
    F16,
}

impl KvFormat {
    fn num_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// Sizes of a block and its parts, in elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub(super) num_blocks: usize,
    pub(super) num_heads: usize,
    pub(super) head_dim: usize,
    pub(super) block_size: usize,
    /// Positions of a block's keys, filled up to whole vectors.
    pub(super) key_stride: usize,
    /// Width of a value, filled up to whole vectors.
    pub(super) value_stride: usize,
}

impl Geometry {
    fn new(config: &ModelConfig, num_blocks: usize, block_size: usize) -> Self {
        Self {
            num_blocks,
            num_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            block_size,
            key_stride: block_size.next_multiple_of(LANES),
            value_stride: config.head_dim.next_multiple_of(LANES),
        }
    }

    fn keys_per_head(&self) -> usize {
        self.head_dim * self.key_stride
    }

    fn values_per_head(&self) -> usize {
        self.block_size * self.value_stride
    }

    /// Which part is that of one head in one block. A head's blocks lie side by side: blocks of a sequence tend to follow
    /// one another, and its keys are then read straight through.
    fn place(&self, block: u32, head: usize) -> usize {
        assert!((block as usize) < self.num_blocks, "block {block} is outside the cache");
        head * self.num_blocks + block as usize
    }

    /// Keys of one head in one block, `[head_dim, key_stride]`.
    pub(super) fn keys<E>(self, keys: &[E], block: u32, head: usize) -> &[E] {
        let len = self.keys_per_head();
        &keys[self.place(block, head) * len..][..len]
    }

    /// Values of one head in one block, `[block_size, value_stride]`.
    pub(super) fn values<E>(self, values: &[E], block: u32, head: usize) -> &[E] {
        let len = self.values_per_head();
        &values[self.place(block, head) * len..][..len]
    }
}

/// Keys and values of one layer in one number format.
#[derive(Debug)]
pub(super) struct LayerCache<E> {
    pub(super) keys: Vec<E>,
    pub(super) values: Vec<E>,
}

impl<E: Element> LayerCache<E> {
    fn new(geometry: &Geometry) -> Self {
        let heads = geometry.num_blocks * geometry.num_heads;
        // Zeroed by the system page by page as blocks are first used, not here.
        let zeros = |len| bytemuck::allocation::zeroed_vec(len);
        Self { keys: zeros(heads * geometry.keys_per_head()), values: zeros(heads * geometry.values_per_head()) }
    }

    /// Stores `key` and `value`, each `[heads * head_dim]`, in slot `slot` of `block`.
    fn write(&mut self, geometry: &Geometry, (block, slot): (u32, usize), key: &[f32], value: &[f32]) {
        let heads = key.chunks_exact(geometry.head_dim).zip(value.chunks_exact(geometry.head_dim));
        for (head, (key, value)) in heads.enumerate() {
            let place = geometry.place(block, head);
            let keys = &mut self.keys[place * geometry.keys_per_head()..][..geometry.keys_per_head()];
            for (keys, key) in keys.chunks_exact_mut(geometry.key_stride).zip(key) {
                keys[slot] = E::narrow(*key);
            }
            let start = place * geometry.values_per_head() + slot * geometry.value_stride;
            self.values[start..].iter_mut().zip(value).for_each(|(stored, value)| *stored = E::narrow(*value));
        }
    }
}

/// All layers in the format that was chosen when the cache was made.
#[derive(Debug)]
pub(super) enum Layers {
    F32(Vec<LayerCache<f32>>),
    F16(Vec<LayerCache<f16>>),
}

/// The paged cache of one model.
#[derive(Debug)]
pub struct KvCache {
    pub(super) geometry: Geometry,
    pub(super) layers: Layers,
}

impl KvCache {
    /// A cache of `num_blocks` blocks of `block_size` tokens in f16. Memory is taken as blocks are first written.
    pub fn new(config: &ModelConfig, num_blocks: usize, block_size: usize) -> Self {
        Self::with_format(config, num_blocks, block_size, KvFormat::F16)
    }

    /// The same in another number format.
    pub fn with_format(config: &ModelConfig, num_blocks: usize, block_size: usize, format: KvFormat) -> Self {
        assert!(block_size > 0, "a block holds at least one token");
        let geometry = Geometry::new(config, num_blocks, block_size);
        let layers = match format {
            KvFormat::F32 => Layers::F32(layers(config, &geometry)),
            KvFormat::F16 => Layers::F16(layers(config, &geometry)),
        };
        Self { geometry, layers }
    }

    /// Bytes of one block over all layers, in f16.
    pub fn bytes_per_block(config: &ModelConfig, block_size: usize) -> u64 {
        Self::bytes_per_block_in(config, block_size, KvFormat::F16)
    }

    /// Bytes of one block over all layers in `format`.
    pub fn bytes_per_block_in(config: &ModelConfig, block_size: usize, format: KvFormat) -> u64 {
        let geometry = Geometry::new(config, 1, block_size);
        let per_head = geometry.keys_per_head() + geometry.values_per_head();
        (config.num_hidden_layers * geometry.num_heads * per_head * format.num_bytes()) as u64
    }

    /// Stores key and value of one token of layer `layer`.
    pub(super) fn write(&mut self, layer: usize, slot: (u32, usize), key: &[f32], value: &[f32]) {
        match &mut self.layers {
            Layers::F32(layers) => layers[layer].write(&self.geometry, slot, key, value),
            Layers::F16(layers) => layers[layer].write(&self.geometry, slot, key, value),
        }
    }
}

fn layers<E: Element>(config: &ModelConfig, geometry: &Geometry) -> Vec<LayerCache<E>> {
    (0..config.num_hidden_layers).map(|_| LayerCache::new(geometry)).collect()
}
