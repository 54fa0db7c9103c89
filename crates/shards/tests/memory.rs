//! Memory does not grow with what was read.

// A panic is how a test reports.
#![allow(clippy::unwrap_used)]

use interfuse_shards::layouts::TextLayout;
use interfuse_shards::{Layout, OrderConfig, Place, Reading, ShardList, ShardStream};

/// KiB that this process holds, where the system says so.
fn held() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
fn memory_stays_while_shards_pass() {
    let root = tempfile::tempdir().unwrap();
    let line = format!("{{\"text\": \"{}\"}}\n", "x".repeat(400));
    for shard in 0..40 {
        std::fs::write(root.path().join(format!("{shard}.jsonl")), line.repeat(2000)).unwrap();
    }
    let list = ShardList::expand(&[root.path().display().to_string()]).unwrap();
    let reading = Reading { layout: Layout::Text(TextLayout::default()), ..Reading::default() };
    let order = OrderConfig { window: 512, ..OrderConfig::default() };
    let mut stream = ShardStream::open(&list, reading, order, (Place::alone(1), None)).unwrap();
    let mut pass = |count: usize| (0..count).for_each(|_| drop(stream.next_example().unwrap()));
    // Of 32 MB in all, a quarter warms up what allocators keep.
    pass(20_000);
    let before = held();
    pass(60_000);
    if let (Some(before), Some(after)) = (before, held()) {
        assert!(after < before + 4096, "{before} KiB became {after} KiB");
    }
}
