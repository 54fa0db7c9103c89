//! The visible ranges of reading order as intervals of key rows.
//!
//! Within a lane the keys lie in reading order, so that the keys a row sees in it lie side by side: the attention kernel
//! walks over these intervals and never computes what lies outside. Keys in any other order are cut into runs that ascend;
//! the result is the same, with more and shorter intervals. Keys that are hidden from different places on are in different runs,
//! so that a query sees of a run an interval or nothing.

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
    /// `hidden` has the order of the queries, and from where on each key is hidden; `None` where none is.
    ///
    /// # Shapes
    /// - `key_order`: `[batch, keys]`; `ranges`, `from` and `until`: `[batch, queries]`; `hidden`: `[batch, queries]` and
    ///   `[batch, keys]`; each flattened
    pub(crate) fn new(
        batch: usize,
        key_order: &[i64],
        [from, until]: &[Vec<i64>; 2],
        hidden: Option<&[Vec<i64>; 2]>,
    ) -> Self {
        let of_element = |index: usize| {
            let part = |array| part(array, index, batch);
            let (keys, from, until) = (part(key_order), part(from), part(until));
            let hidden = hidden.map(|[query_order, hidden_from]| (part(query_order), part(hidden_from)));
            let of_run = |run: Range<usize>| {
                let seen = Run::new(keys, run.clone(), from, until);
                match hidden {
                    Some((query_order, hidden_from)) => seen.hidden(query_order, hidden_from[run.start]),
                    None => seen,
                }
            };
            let runs = ascending(keys, hidden.map(|(_, hidden_from)| hidden_from)).into_iter().map(of_run);
            runs.filter(|run| run.seen.iter().any(|&(from, until)| from < until)).collect()
        };
        Self { batch: (0..batch).map(of_element).collect() }
    }
}

/// The part of an array that belongs to one element of the batch.
fn part(array: &[i64], index: usize, batch: usize) -> &[i64] {
    let length = array.len() / batch.max(1);
    &array[index * length..(index + 1) * length]
}

impl Run {
    fn new(keys: &[i64], run: Range<usize>, from: &[i64], until: &[i64]) -> Self {
        let order = &keys[run.clone()];
        let first = |bound: i64| (run.start + order.partition_point(|&key| key < bound)) as u32;
        Self { seen: from.iter().zip(until).map(|(&from, &until)| (first(from), first(until))).collect() }
    }

    /// The same of keys that queries from `place` on do not see.
    fn hidden(mut self, query_order: &[i64], place: i64) -> Self {
        let seen = self.seen.iter_mut().zip(query_order);
        seen.filter(|(_, order)| **order >= place).for_each(|(seen, _)| *seen = (0, 0));
        self
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

/// The longest stretches of `keys` in which no key comes before its predecessor, and all are hidden from the same place on.
fn ascending(keys: &[i64], hidden_from: Option<&[i64]>) -> Vec<Range<usize>> {
    let mut runs = vec![];
    let mut start = 0;
    let parts = |end: usize| hidden_from.is_some_and(|from| from[end] != from[end - 1]);
    for end in 1..=keys.len() {
        if end == keys.len() || keys[end] < keys[end - 1] || parts(end) {
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
        let [from, until] = [vec![0, 2, 0, 7, -1, 3], vec![3, 6, 0, 5, 10, 4]];
        let (query_order, most) = (vec![2, 5, 9, 4, 3, 0], i64::from(i32::MAX));
        let hidden_from = vec![most, 5, 5, most, 3, most, most, 3, 4, most, 0, 9];
        let nobody = vec![most; key_order.len()];
        for hidden_from in [hidden_from, nobody] {
            let hidden = [query_order.clone(), hidden_from];
            let ranges = [from.clone(), until.clone()];
            let spans = Spans::new(1, &key_order, &ranges, Some(&hidden));
            for query in 0..from.len() {
                for (key, &order) in key_order.iter().enumerate() {
                    let seen = spans.batch[0].iter().filter(|run| run.of(query).contains(&key)).count();
                    let in_range = from[query] <= order && order < until[query];
                    let expected = in_range && query_order[query] < hidden[1][key];
                    assert_eq!(seen, usize::from(expected), "query {query}, key {key}");
                }
            }
            for run in &spans.batch[0] {
                let cover = run.cover(0..from.len());
                assert!((0..from.len()).all(|query| run.of(query).all(|key| cover.contains(&key))));
            }
        }
        let ranges = [from, until];
        let all_seen = Spans::new(1, &key_order, &ranges, Some(&[query_order, vec![most; key_order.len()]]));
        assert_eq!(format!("{all_seen:?}"), format!("{:?}", Spans::new(1, &key_order, &ranges, None)));
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        assert!(Spans::new(2, &[], &[vec![0, 0], vec![1, 1]], None).batch.iter().all(Vec::is_empty));
        assert!(Spans::new(1, &[0, 1], &[vec![], vec![]], None).batch[0].is_empty());
    }
}
