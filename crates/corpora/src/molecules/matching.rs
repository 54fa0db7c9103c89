//! Maximum matching of a general graph by Edmonds' blossoms (1965), in time of the cube of the number of vertices.

use std::collections::VecDeque;

/// The partner of each vertex in a matching that is as large as any.
pub(super) fn maximum_matching(neighbors: &[Vec<usize>]) -> Vec<Option<usize>> {
    let mut partners: Vec<Option<usize>> = vec![None; neighbors.len()];
    // A start that most molecules need nothing beyond.
    for vertex in 0..neighbors.len() {
        let free = neighbors[vertex].iter().copied().find(|&other| partners[other].is_none());
        if let (None, Some(other)) = (partners[vertex], free) {
            (partners[vertex], partners[other]) = (Some(other), Some(vertex));
        }
    }
    for root in 0..neighbors.len() {
        if partners[root].is_none() && !neighbors[root].is_empty() {
            Search::new(neighbors, &mut partners).augment(root);
        }
    }
    partners
}

/// A search for a path from a free vertex to another along which every second edge is in the matching.
struct Search<'a> {
    neighbors: &'a [Vec<usize>],
    partners: &'a mut [Option<usize>],
    /// The vertex before, for vertices at odd distance from the root.
    before: Vec<Option<usize>>,
    /// The base of the blossom that a vertex lies in.
    base: Vec<usize>,
    /// Vertices at even distance.
    even: Vec<bool>,
    queue: VecDeque<usize>,
}

impl<'a> Search<'a> {
    fn new(neighbors: &'a [Vec<usize>], partners: &'a mut [Option<usize>]) -> Self {
        let count = neighbors.len();
        Self {
            neighbors,
            partners,
            before: vec![None; count],
            base: (0..count).collect(),
            even: vec![false; count],
            queue: VecDeque::new(),
        }
    }

    /// Enlarges the matching by a path from `root`, if there is one.
    fn augment(&mut self, root: usize) {
        self.even[root] = true;
        self.queue.push_back(root);
        while let Some(vertex) = self.queue.pop_front() {
            for &other in &self.neighbors[vertex] {
                if self.base[vertex] == self.base[other] || self.partners[vertex] == Some(other) {
                    continue;
                }
                let partner = self.partners[other];
                if other == root || partner.is_some_and(|partner| self.before[partner].is_some()) {
                    self.contract(vertex, other);
                } else if self.before[other].is_none() {
                    self.before[other] = Some(vertex);
                    match partner {
                        None => return self.flip(other),
                        Some(partner) => {
                            self.even[partner] = true;
                            self.queue.push_back(partner);
                        }
                    }
                }
            }
        }
    }

    /// Swaps the edges of the path that ends at a free vertex.
    fn flip(&mut self, end: usize) {
        let mut vertex = Some(end);
        while let Some(odd) = vertex {
            let Some(even) = self.before[odd] else { return };
            vertex = self.partners[even];
            (self.partners[odd], self.partners[even]) = (Some(even), Some(odd));
        }
    }

    /// Makes one vertex of the odd cycle that an edge between two even vertices closes.
    fn contract(&mut self, a: usize, b: usize) {
        let base = self.common_base(a, b);
        let mut in_blossom = vec![false; self.neighbors.len()];
        self.mark(a, b, base, &mut in_blossom);
        self.mark(b, a, base, &mut in_blossom);
        for vertex in 0..self.neighbors.len() {
            if in_blossom[self.base[vertex]] {
                self.base[vertex] = base;
                if !self.even[vertex] {
                    self.even[vertex] = true;
                    self.queue.push_back(vertex);
                }
            }
        }
    }

    fn mark(&mut self, mut vertex: usize, mut child: usize, base: usize, in_blossom: &mut [bool]) {
        while self.base[vertex] != base {
            let Some(partner) = self.partners[vertex] else { return };
            in_blossom[self.base[vertex]] = true;
            in_blossom[self.base[partner]] = true;
            self.before[vertex] = Some(child);
            child = partner;
            let Some(before) = self.before[partner] else { return };
            vertex = before;
        }
    }

    /// The first base that the ways from two vertices to the root share.
    fn common_base(&self, mut a: usize, mut b: usize) -> usize {
        let mut passed = vec![false; self.neighbors.len()];
        loop {
            a = self.base[a];
            passed[a] = true;
            match self.partners[a].and_then(|partner| self.before[partner]) {
                Some(before) => a = before,
                None => break,
            }
        }
        loop {
            b = self.base[b];
            if passed[b] {
                return b;
            }
            match self.partners[b].and_then(|partner| self.before[partner]) {
                Some(before) => b = before,
                None => return b,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(count: usize, edges: &[(usize, usize)]) -> usize {
        let mut neighbors = vec![vec![]; count];
        for &(a, b) in edges {
            neighbors[a].push(b);
            neighbors[b].push(a);
        }
        let partners = maximum_matching(&neighbors);
        for (vertex, partner) in partners.iter().enumerate() {
            if let Some(partner) = *partner {
                assert!(partners[partner] == Some(vertex) && neighbors[vertex].contains(&partner));
            }
        }
        partners.iter().flatten().count() / 2
    }

    /// The size by trying all choices.
    fn exhaustive(edges: &[(usize, usize)], used: u32) -> usize {
        let Some((&(a, b), rest)) = edges.split_first() else { return 0 };
        let without = exhaustive(rest, used);
        if used & (1 << a) != 0 || used & (1 << b) != 0 {
            return without;
        }
        without.max(1 + exhaustive(rest, used | 1 << a | 1 << b))
    }

    #[test]
    fn odd_cycles_are_no_obstacle() {
        assert_eq!(size(5, &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]), 2);
        assert_eq!(size(6, &[(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 5), (5, 3)]), 3);
        assert_eq!(size(0, &[]), 0);
    }

    proptest::proptest! {
        #[test]
        fn matchings_are_as_large_as_any(edges in proptest::collection::vec((0_usize..9, 0_usize..9), 0..14)) {
            let mut edges: Vec<_> = edges.into_iter().filter(|(a, b)| a != b).map(|(a, b)| (a.min(b), a.max(b))).collect();
            edges.sort_unstable();
            edges.dedup();
            proptest::prop_assert_eq!(size(9, &edges), exhaustive(&edges, 0));
        }
    }
}
