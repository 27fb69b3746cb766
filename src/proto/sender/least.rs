//! The least of what many have, each of whom may get another value at any time.
//!
//! A tournament: who loses against his neighbour meets nobody else, so a change costs the logarithm of how
//! many there are, and mostly less: it ends where it makes no difference. Does not know what is compared.

/// At each index a value or none, and the least of all of them.
#[derive(Debug)]
pub(super) struct Least<Value> {
    /// The leaves are the second half; before them, node `n` is the lesser of `2 n` and `2 n + 1`.
    nodes: Vec<Option<Value>>,
}

impl<Value: Ord + Copy> Least<Value> {
    /// One without any value.
    pub(super) fn new() -> Least<Value> {
        Least { nodes: vec![None; 2] }
    }

    /// From now on this is the value at `index`. (Memory is for all up to the highest.)
    pub(super) fn set(&mut self, index: usize, value: Option<Value>) {
        while index >= self.leaves() {
            self.double();
        }
        let (mut node, mut least) = (self.leaves() + index, value);
        while self.nodes[node] != least {
            self.nodes[node] = least;
            if node == 1 {
                return;
            }
            least = lesser(least, self.nodes[node ^ 1]);
            node /= 2;
        }
    }

    /// The least value at any index.
    pub(super) fn least(&self) -> Option<Value> {
        self.nodes[1]
    }

    fn leaves(&self) -> usize {
        self.nodes.len() / 2
    }

    fn double(&mut self) {
        let values = self.nodes.split_off(self.leaves());
        self.nodes = vec![None; 4 * values.len()];
        for (index, value) in values.into_iter().enumerate() {
            self.set(index, value);
        }
    }
}

/// The lesser of both, if there are two.
fn lesser<Value: Ord>(one: Option<Value>, other: Option<Value>) -> Option<Value> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_least_of_all(
            changes in prop::collection::vec((0..20_usize, prop::option::of(0..9_u8)), 0..80),
        ) {
            let (mut least, mut model) = (Least::new(), [None; 20]);
            for (index, value) in changes {
                least.set(index, value);
                model[index] = value;
                prop_assert_eq!(least.least(), model.iter().flatten().min().copied());
            }
        }
    }
}
