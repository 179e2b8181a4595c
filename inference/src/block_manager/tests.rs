//! Properties of the block manager under random use, and the prefix cache by hand.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Every block is either free or held by exactly as many tables as its count says.
fn check(manager: &BlockManager, tables: &[BlockTable]) {
    let mut held = BTreeMap::<BlockId, u32>::new();
    tables.iter().flat_map(BlockTable::blocks).for_each(|&block| *held.entry(block).or_default() += 1);
    for (id, block) in manager.blocks.iter().enumerate() {
        let id = id as BlockId;
        assert_eq!(block.refs, held.get(&id).copied().unwrap_or(0), "block {id}");
        assert_eq!(block.refs == 0, manager.free.get(&block.freed_at) == Some(&id), "block {id}");
    }
    assert_eq!(manager.num_free() + held.len(), manager.num_blocks());
    for (key, (block, _)) in &manager.cached {
        assert_eq!(manager.blocks[*block as usize].key.as_ref(), Some(key));
    }
}

proptest! {
    #[test]
    fn no_block_is_leaked_or_given_twice(
        num_blocks in 1_usize..24,
        block_size in 1_usize..5,
        actions in prop::collection::vec((any::<bool>(), prop::collection::vec(0_u32..3, 1..20), any::<prop::sample::Index>()), 1..80),
    ) {
        let mut manager = BlockManager::new(num_blocks, block_size);
        let mut tables: Vec<BlockTable> = Vec::new();
        for (arrives, tokens, which) in actions {
            if arrives || tables.is_empty() {
                let (mut table, computed) = manager.attach_prefix(&tokens);
                prop_assert!(computed < tokens.len());
                let free = manager.num_free();
                let missing = tokens.len().div_ceil(block_size) - table.blocks().len();
                let grown = manager.grow(&mut table, tokens.len());
                prop_assert_eq!(grown, missing <= free);
                if grown {
                    manager.commit(&mut table, &tokens, tokens.len());
                }
                tables.push(table);
            } else {
                let mut table = tables.swap_remove(which.index(tables.len()));
                manager.release(&mut table);
                prop_assert!(table.blocks().is_empty());
            }
            check(&manager, &tables);
        }
        tables.iter_mut().for_each(|table| manager.release(table));
        prop_assert_eq!(manager.num_free(), num_blocks);
    }

    /// A prefix that is found holds exactly the tokens asked for: replayed against the tokens written to each block.
    #[test]
    fn a_found_prefix_is_the_right_one(
        block_size in 1_usize..4,
        prompts in prop::collection::vec(prop::collection::vec(0_u32..2, 1..14), 1..40),
    ) {
        let mut manager = BlockManager::new(8, block_size);
        let mut memory = vec![(Vec::new(), Vec::new()); 8];
        for tokens in prompts {
            let (mut table, computed) = manager.attach_prefix(&tokens);
            for index in 0..computed / block_size {
                let (past, own): &(Vec<u32>, Vec<u32>) = &memory[table.blocks()[index] as usize];
                prop_assert_eq!(&past[..], &tokens[..index * block_size]);
                prop_assert_eq!(&own[..], &tokens[index * block_size..(index + 1) * block_size]);
            }
            if manager.grow(&mut table, tokens.len()) {
                for index in computed / block_size..tokens.len() / block_size {
                    let own = tokens[index * block_size..(index + 1) * block_size].to_vec();
                    memory[table.blocks()[index] as usize] = (tokens[..index * block_size].to_vec(), own);
                }
                manager.commit(&mut table, &tokens, tokens.len());
            }
            manager.release(&mut table);
        }
    }
}

#[test]
fn a_second_prompt_shares_the_full_blocks_of_the_first() {
    let mut manager = BlockManager::new(8, 2);
    let (mut first, computed) = manager.attach_prefix(&[1, 2, 3, 4, 5]);
    assert_eq!(computed, 0);
    assert!(manager.grow(&mut first, 5));
    manager.commit(&mut first, &[1, 2, 3, 4, 5], 5);
    let (second, computed) = manager.attach_prefix(&[1, 2, 3, 4, 9, 9]);
    assert_eq!(computed, 4);
    assert_eq!(second.blocks(), &first.blocks()[..2]);
    let (_, computed) = manager.attach_prefix(&[1, 2, 3, 4]);
    assert_eq!(computed, 2, "the last token must be left to compute");
}

#[test]
fn a_freed_prefix_is_found_until_its_block_is_needed() {
    let mut manager = BlockManager::new(3, 2);
    let (mut table, _) = manager.attach_prefix(&[1, 2, 3, 4, 5]);
    assert!(manager.grow(&mut table, 5));
    manager.commit(&mut table, &[1, 2, 3, 4, 5], 5);
    manager.release(&mut table);
    assert_eq!(manager.num_free(), 3);
    let (mut again, computed) = manager.attach_prefix(&[1, 2, 3, 4, 5]);
    assert_eq!((computed, manager.num_free()), (4, 1));
    manager.release(&mut again);
    let (mut other, _) = manager.attach_prefix(&[7; 4]);
    assert!(manager.grow(&mut other, 4));
    let (_, computed) = manager.attach_prefix(&[1, 2, 3, 4, 5]);
    assert_eq!(computed, 2, "the end of the old prompt goes first");
}
