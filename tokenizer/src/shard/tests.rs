//! Shards come back as they were written, and every damage is noticed.

use proptest::prelude::*;

use super::{ShardError, ShardWriter, TokenShard};

fn sequence() -> impl Strategy<Value = Vec<Vec<u32>>> {
    prop::collection::vec(prop::collection::vec(0_u32..70_000, 1..6), 0..4)
}

proptest! {
    #[test]
    fn reads_what_was_written(rows in prop::collection::vec(sequence(), 0..20), wide: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tokens");
        let fold = |token: u32| if wide { token } else { token % 60_000 };
        let mut writer = ShardWriter::new(16, if wide { 70_000 } else { 65_536 });
        for segments in &rows {
            let tokens: Vec<u32> = segments.iter().flatten().map(|&token| fold(token)).collect();
            let lengths: Vec<u32> = segments.iter().map(|segment| segment.len() as u32).collect();
            writer.push(&tokens, &lengths).unwrap();
        }
        let bytes = writer.bytes() as u64;
        let summary = writer.finish(&path).unwrap();
        prop_assert_eq!(summary.bytes, bytes);
        prop_assert_eq!(bytes, std::fs::metadata(&path).unwrap().len());
        let shard = TokenShard::open(&path).unwrap();
        prop_assert_eq!(shard.num_sequences(), rows.len());
        let (mut tokens, mut lengths) = (vec![9], vec![9]);
        for (index, segments) in rows.iter().enumerate() {
            shard.read(index, &mut tokens, &mut lengths);
            prop_assert_eq!(tokens.len(), 16);
            let mut at = 0;
            for (segment, &length) in segments.iter().zip(&lengths) {
                let wanted: Vec<u32> = segment.iter().map(|&token| fold(token)).collect();
                prop_assert_eq!(&tokens[at..at + length as usize], &wanted[..]);
                at += length as usize;
            }
            prop_assert_eq!(lengths.len(), segments.len());
            prop_assert!(tokens[at..].iter().all(|&token| token == 0));
        }
    }
}

#[test]
fn every_flipped_byte_and_every_cut_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tokens");
    let mut writer = ShardWriter::new(4, 300);
    writer.push(&[1, 2, 3], &[2, 1]).unwrap();
    writer.finish(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        std::fs::write(&path, &damaged).unwrap();
        assert!(matches!(TokenShard::open(&path), Err(ShardError::Corrupt { .. })), "byte {at}");
        std::fs::write(&path, &whole[..at]).unwrap();
        assert!(TokenShard::open(&path).is_err(), "cut at {at}");
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(TokenShard::open(&path).unwrap().num_segments(), 2);
}

#[test]
fn a_sequence_that_does_not_fit_is_refused() {
    let mut writer = ShardWriter::new(2, 300);
    assert!(writer.push(&[1, 2, 3], &[3]).is_err());
    assert!(writer.push(&[1, 2], &[1]).is_err());
    assert!(writer.push(&[1, 70_000], &[2]).is_err());
    assert_eq!(writer.sequences(), 0);
}
