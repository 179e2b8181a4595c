//! Decides which sequences run in the next step, and with how many tokens each.
//!
//! Continuous batching in vLLM's words: one token budget a step, running sequences first, prompts cut into chunks,
//! and preemption by recompute where blocks run out. Pure: no clock, no channel, no model.

use std::collections::VecDeque;

use crate::block_manager::{BlockManager, BlockTable};

#[cfg(test)]
mod tests;

/// Names a request from its arrival to its end; later requests have larger ids.
pub type RequestId = u64;

/// Limits of a step.
#[derive(Clone, Copy, Debug)]
pub struct SchedulerConfig {
    /// Most sequences in one step.
    pub max_num_seqs: usize,
    /// Most tokens in one step, over all sequences.
    pub max_num_batched_tokens: usize,
}

/// One request's tokens and what of them is in the KV cache.
#[derive(Debug)]
pub struct Sequence {
    id: RequestId,
    tokens: Vec<u32>,
    num_computed: usize,
    num_preemptions: u32,
    num_cached: Option<usize>,
    table: BlockTable,
}

impl Sequence {
    /// Prompt and answer so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Blocks that hold its keys and values.
    pub fn block_table(&self) -> &BlockTable {
        &self.table
    }

    /// Times its blocks were taken away.
    pub fn num_preemptions(&self) -> u32 {
        self.num_preemptions
    }

    /// Prompt tokens that were found in the prefix cache when it first ran.
    pub fn num_cached(&self) -> usize {
        self.num_cached.unwrap_or(0)
    }
}

/// One sequence's part in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// Whose.
    pub id: RequestId,
    /// First token to compute.
    pub start: usize,
    /// Tokens to compute, at least one.
    pub num_tokens: usize,
    /// Whether the step reaches the sequence's last token, so that the next one is to be sampled.
    pub samples: bool,
    /// Whether this is the first time the sequence runs.
    pub first: bool,
}

/// What the next step computes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The sequences, in order of arrival.
    pub scheduled: Vec<Scheduled>,
    /// Sequences that lost their blocks to older ones and wait again.
    pub preempted: Vec<RequestId>,
}

/// Waiting and running sequences, and the blocks they hold.
#[derive(Debug)]
pub struct Scheduler {
    config: SchedulerConfig,
    blocks: BlockManager,
    waiting: VecDeque<Sequence>,
    running: Vec<Sequence>,
}

impl Scheduler {
    /// A scheduler without requests over `blocks`.
    pub fn new(config: SchedulerConfig, blocks: BlockManager) -> Self {
        Self { config, blocks, waiting: VecDeque::new(), running: Vec::new() }
    }

    /// Tokens that one sequence can have at most: what all blocks hold together.
    pub fn capacity(&self) -> usize {
        self.blocks.num_blocks() * self.blocks.block_size()
    }

    /// Puts a request at the end of the queue. Ids must rise; `prompt` must not be empty, and prompt and answer
    /// together must fit [`Scheduler::capacity`], or the sequence could never end.
    pub fn add(&mut self, id: RequestId, prompt: Vec<u32>) {
        debug_assert!(!prompt.is_empty() && prompt.len() <= self.capacity());
        let table = BlockTable::default();
        let sequence = Sequence { id, tokens: prompt, num_computed: 0, num_preemptions: 0, num_cached: None, table };
        self.waiting.push_back(sequence);
    }

    /// Sequences that wait to run.
    pub fn num_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Sequences that hold blocks.
    pub fn num_running(&self) -> usize {
        self.running.len()
    }

    /// Share of the blocks that are held, 0 to 1.
    pub fn usage(&self) -> f64 {
        1.0 - self.blocks.num_free() as f64 / self.blocks.num_blocks() as f64
    }

    /// A running sequence.
    pub fn running(&self, id: RequestId) -> Option<&Sequence> {
        self.running.iter().find(|sequence| sequence.id == id)
    }

    /// Chooses the next step. Every step that is not empty must be answered by [`Scheduler::commit`].
    pub fn schedule(&mut self) -> Step {
        let mut step = Step::default();
        let mut budget = self.config.max_num_batched_tokens;
        self.schedule_running(&mut step, &mut budget);
        // Blocks are short: who waits would only take them from who runs.
        if step.preempted.is_empty() {
            self.schedule_waiting(&mut step, &mut budget);
        }
        step
    }

    /// Books a step as computed; `sampled` gives the new token of a sequence that sampled, or none to end it there.
    pub fn commit(&mut self, step: &Step, mut sampled: impl FnMut(RequestId) -> Option<u32>) {
        for scheduled in &step.scheduled {
            let Some(index) = self.running.iter().position(|sequence| sequence.id == scheduled.id) else { continue };
            let sequence = &mut self.running[index];
            sequence.num_computed += scheduled.num_tokens;
            self.blocks.commit(&mut sequence.table, &sequence.tokens, sequence.num_computed);
            if !scheduled.samples {
                continue;
            }
            match sampled(scheduled.id) {
                Some(token) => sequence.tokens.push(token),
                None => {
                    let mut ended = self.running.remove(index);
                    self.blocks.release(&mut ended.table);
                }
            }
        }
    }

    /// Drops a request wherever it is and frees its blocks.
    pub fn abort(&mut self, id: RequestId) {
        self.waiting.retain(|sequence| sequence.id != id);
        if let Some(index) = self.running.iter().position(|sequence| sequence.id == id) {
            let mut aborted = self.running.remove(index);
            self.blocks.release(&mut aborted.table);
        }
    }

    fn schedule_running(&mut self, step: &mut Step, budget: &mut usize) {
        let mut index = 0;
        while index < self.running.len() && *budget > 0 {
            let sequence = &mut self.running[index];
            let num_tokens = (sequence.tokens.len() - sequence.num_computed).min(*budget);
            if self.blocks.grow(&mut sequence.table, sequence.num_computed + num_tokens) {
                *budget -= num_tokens;
                step.scheduled.push(part(sequence, num_tokens, false));
                index += 1;
                continue;
            }
            // The youngest gives way, be it this one; it computes its tokens again later. Everyone after `index` is
            // not yet in the step, so nothing already promised is taken back.
            let mut youngest = self.running.pop().expect("the sequence at index is there");
            self.blocks.release(&mut youngest.table);
            youngest.num_computed = 0;
            youngest.num_preemptions += 1;
            step.preempted.push(youngest.id);
            self.waiting.push_front(youngest);
        }
    }

    fn schedule_waiting(&mut self, step: &mut Step, budget: &mut usize) {
        while *budget > 0 && self.running.len() < self.config.max_num_seqs {
            let Some(mut sequence) = self.waiting.pop_front() else { break };
            let (table, computed) = self.blocks.attach_prefix(&sequence.tokens);
            sequence.table = table;
            let num_tokens = (sequence.tokens.len() - computed).min(*budget);
            if !self.blocks.grow(&mut sequence.table, computed + num_tokens) {
                self.blocks.release(&mut sequence.table);
                self.waiting.push_front(sequence);
                break;
            }
            *budget -= num_tokens;
            sequence.num_computed = computed;
            let first = sequence.num_cached.is_none();
            sequence.num_cached.get_or_insert(computed);
            step.scheduled.push(part(&sequence, num_tokens, first));
            self.running.push(sequence);
        }
    }
}

fn part(sequence: &Sequence, num_tokens: usize, first: bool) -> Scheduled {
    let start = sequence.num_computed;
    Scheduled { id: sequence.id, start, num_tokens, samples: start + num_tokens == sequence.tokens.len(), first }
}
