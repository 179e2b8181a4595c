//! Hands out the KV cache's blocks, counts who holds them and finds prompts whose prefix is already computed.
//!
//! Pure bookkeeping: values in, values out. Never touches the cache's memory, and knows nothing of requests.

use std::collections::{BTreeMap, HashMap};

#[cfg(test)]
mod tests;

/// Index of a block in the KV cache.
pub type BlockId = u32;

/// Names what a full block holds: equal ids mean equal tokens with an equal past.
type ContentId = u64;

/// The past of a sequence's first block.
const NO_PAST: ContentId = 0;

/// The blocks of one sequence, in order of its tokens.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BlockTable {
    blocks: Vec<BlockId>,
    contents: Vec<ContentId>,
}

impl BlockTable {
    /// Block ids in order; token `i` lives in block `i / block_size`.
    pub fn blocks(&self) -> &[BlockId] {
        &self.blocks
    }
}

/// What is known of one block.
#[derive(Clone, Debug, Default)]
struct Block {
    refs: u32,
    freed_at: u64,
    key: Option<ContentKey>,
}

/// The tokens of a full block and the content before it. Compared whole, so no hash collision can mix two prompts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ContentKey {
    past: ContentId,
    tokens: Box<[u32]>,
}

/// Owner of all blocks of one KV cache.
///
/// A block with no holder is free; a free block that still holds a computed prefix stays findable until it is handed
/// out again, the longest unused first.
#[derive(Debug)]
pub struct BlockManager {
    block_size: usize,
    blocks: Vec<Block>,
    free: BTreeMap<u64, BlockId>,
    cached: HashMap<ContentKey, (BlockId, ContentId)>,
    clock: u64,
    next_content: ContentId,
}

impl BlockManager {
    /// A manager of `num_blocks` free blocks of `block_size` tokens each.
    pub fn new(num_blocks: usize, block_size: usize) -> Self {
        let mut manager = Self {
            block_size,
            blocks: vec![Block::default(); num_blocks],
            free: BTreeMap::new(),
            cached: HashMap::new(),
            clock: 0,
            next_content: NO_PAST + 1,
        };
        (0..num_blocks as BlockId).for_each(|block| manager.put_free(block));
        manager
    }

    /// Tokens a block holds.
    pub fn block_size(&self) -> usize {
        self.block_size
    }

    /// All blocks, free or not.
    pub fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Blocks that nobody holds.
    pub fn num_free(&self) -> usize {
        self.free.len()
    }

    /// A table that starts with the longest computed prefix of `tokens`, and how many tokens that is.
    ///
    /// At least one token is always left to compute, since its logits are what the caller is after.
    pub fn attach_prefix(&mut self, tokens: &[u32]) -> (BlockTable, usize) {
        let mut table = BlockTable::default();
        let reusable = tokens.len().saturating_sub(1) / self.block_size;
        for chunk in tokens.chunks_exact(self.block_size).take(reusable) {
            let key = ContentKey { past: table.contents.last().copied().unwrap_or(NO_PAST), tokens: chunk.into() };
            let Some(&(block, content)) = self.cached.get(&key) else { break };
            self.hold(block);
            table.blocks.push(block);
            table.contents.push(content);
        }
        let computed = table.blocks.len() * self.block_size;
        (table, computed)
    }

    /// Grows `table` until it has room for `num_tokens`; takes all the blocks that needs, or none and returns false.
    #[must_use]
    pub fn grow(&mut self, table: &mut BlockTable, num_tokens: usize) -> bool {
        let missing = num_tokens.div_ceil(self.block_size).saturating_sub(table.blocks.len());
        if missing > self.free.len() {
            return false;
        }
        for _ in 0..missing {
            let (_, block) = self.free.pop_first().expect("as many free blocks as were counted above");
            self.forget(block);
            self.blocks[block as usize].refs = 1;
            table.blocks.push(block);
        }
        true
    }

    /// Makes the full blocks among the first `num_computed` of `tokens` findable as a prefix.
    pub fn commit(&mut self, table: &mut BlockTable, tokens: &[u32], num_computed: usize) {
        for index in table.contents.len()..num_computed / self.block_size {
            let chunk = &tokens[index * self.block_size..(index + 1) * self.block_size];
            let key = ContentKey { past: table.contents.last().copied().unwrap_or(NO_PAST), tokens: chunk.into() };
            let block = table.blocks[index];
            let content = match self.cached.get(&key) {
                Some(&(_, content)) => content,
                None => {
                    let content = self.next_content;
                    self.next_content += 1;
                    self.blocks[block as usize].key = Some(key.clone());
                    self.cached.insert(key, (block, content));
                    content
                }
            };
            table.contents.push(content);
        }
    }

    /// Gives back everything `table` holds and leaves it empty.
    pub fn release(&mut self, table: &mut BlockTable) {
        table.contents.clear();
        // The end first: a prefix is worth more than what follows it, so it is to be handed out again last.
        while let Some(block) = table.blocks.pop() {
            let state = &mut self.blocks[block as usize];
            state.refs -= 1;
            if state.refs == 0 {
                self.put_free(block);
            }
        }
    }

    fn hold(&mut self, block: BlockId) {
        let state = &mut self.blocks[block as usize];
        if state.refs == 0 {
            self.free.remove(&state.freed_at);
        }
        state.refs += 1;
    }

    fn put_free(&mut self, block: BlockId) {
        self.clock += 1;
        self.blocks[block as usize].freed_at = self.clock;
        self.free.insert(self.clock, block);
    }

    fn forget(&mut self, block: BlockId) {
        if let Some(key) = self.blocks[block as usize].key.take() {
            self.cached.remove(&key);
        }
    }
}
