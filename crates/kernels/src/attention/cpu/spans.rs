//! The visible ranges of reading order as intervals of key rows.
//!
//! Within a lane the keys lie in reading order, so that the keys a row sees in it lie side by side: the attention kernel
//! walks over these intervals and never computes what lies outside. Keys in any other order are cut into runs that ascend;
//! the result is the same, with more and shorter intervals.

use std::ops::Range;

/// The ranges of a whole batch.
#[derive(Debug)]
pub(crate) struct Spans {
    /// For each element of the batch its runs of keys.
    pub(crate) batch: Vec<Vec<Run>>,
}

/// What the query rows see of one ascending run of keys: for each query an interval of key rows, maybe empty.
#[derive(Debug)]
pub(crate) struct Run {
    seen: Vec<(u32, u32)>,
}

impl Spans {
    /// # Shapes
    /// - `key_order`: `[batch, keys]`; `from`, `until`: `[batch, queries]`, each flattened
    pub(crate) fn new(batch: usize, key_order: &[i64], from: &[i64], until: &[i64]) -> Self {
        let part = |array: &[i64], index: usize| {
            let length = array.len() / batch.max(1);
            index * length..(index + 1) * length
        };
        let of_element = |index: usize| {
            let keys = &key_order[part(key_order, index)];
            let (from, until) = (&from[part(from, index)], &until[part(until, index)]);
            let runs = ascending(keys).into_iter().map(|run| Run::new(keys, run, from, until));
            runs.filter(|run| run.seen.iter().any(|&(from, until)| from < until)).collect()
        };
        Self { batch: (0..batch).map(of_element).collect() }
    }
}

impl Run {
    fn new(keys: &[i64], run: Range<usize>, from: &[i64], until: &[i64]) -> Self {
        let order = &keys[run.clone()];
        let first = |bound: i64| (run.start + order.partition_point(|&key| key < bound)) as u32;
        Self { seen: from.iter().zip(until).map(|(&from, &until)| (first(from), first(until))).collect() }
    }

    /// The key rows that a query sees.
    #[inline(always)]
    pub(crate) fn of(&self, query: usize) -> Range<usize> {
        let (from, until) = self.seen[query];
        from as usize..until.max(from) as usize
    }

    /// The key rows that any of these queries sees, and maybe some between them. Empty when none sees any.
    pub(crate) fn cover(&self, queries: Range<usize>) -> Range<usize> {
        let seen = queries.map(|query| self.of(query)).filter(|seen| !seen.is_empty());
        seen.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0)
    }
}

/// The longest stretches of `keys` in which no key comes before its predecessor.
fn ascending(keys: &[i64]) -> Vec<Range<usize>> {
    let mut runs = vec![];
    let mut start = 0;
    for end in 1..=keys.len() {
        if end == keys.len() || keys[end] < keys[end - 1] {
            runs.push(start..end);
            start = end;
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_seen_exactly_when_its_order_is_in_the_range() {
        let key_order = [0, 1, 5, 6, -1, -1, 2, 3, 4, 0, 9, 3];
        let (from, until) = ([0, 2, 0, 7, -1, 3], [3, 6, 0, 5, 10, 4]);
        let spans = Spans::new(1, &key_order, &from, &until);
        for query in 0..from.len() {
            for (key, &order) in key_order.iter().enumerate() {
                let seen = spans.batch[0].iter().filter(|run| run.of(query).contains(&key)).count();
                let expected = from[query] <= order && order < until[query];
                assert_eq!(seen, usize::from(expected), "query {query}, key {key}");
            }
        }
        for run in &spans.batch[0] {
            let cover = run.cover(0..from.len());
            assert!((0..from.len()).all(|query| run.of(query).all(|key| cover.contains(&key))));
        }
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        assert!(Spans::new(2, &[], &[0, 0], &[1, 1]).batch.iter().all(Vec::is_empty));
        assert!(Spans::new(1, &[0, 1], &[], &[]).batch[0].is_empty());
    }
}
