//! A sum of elements in which neither order nor grouping matters (LtHash: Bellare and Micciancio 1997; with these
//! parameters Lewi, Kim, Maykov and Weis 2019, "Securing Update Propagation with Homomorphic Hashing").

use super::domain::{ELEMENT, Function, Hash, TREE};

/// Numbers in a sum. With 1,024 of 16 bits, finding two sets of the same sum takes over 2^200 steps.
const LANES: usize = 1024;
const BYTES: usize = 2 * LANES;

/// The sum of a set of elements, and how many there are.
#[derive(Clone)]
pub struct Sum {
    lanes: Box<[u16]>,
    count: u64,
    element: Function,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            lanes: vec![0; LANES].into_boxed_slice(),
            count: 0,
            element: Function::new(ELEMENT),
        }
    }
}

impl Sum {
    /// Begins an element, or goes on with it.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.element.update(bytes);
        self
    }

    /// Adds the element that was begun.
    pub fn add(&mut self) {
        let mut output = [0; BYTES];
        self.element.finish_into(&mut output);
        let (numbers, _) = output.as_chunks::<2>();
        for (lane, number) in self.lanes.iter_mut().zip(numbers) {
            *lane = lane.wrapping_add(u16::from_le_bytes(*number));
        }
        self.count += 1;
    }

    /// Adds all the elements of another sum.
    pub fn merge(&mut self, other: &Self) {
        for (lane, number) in self.lanes.iter_mut().zip(&other.lanes) {
            *lane = lane.wrapping_add(*number);
        }
        self.count += other.count;
    }

    /// The digest of the sum.
    pub fn digest(&self) -> Hash {
        let mut tree = Function::new(TREE);
        for lane in &self.lanes {
            tree.update(&lane.to_le_bytes());
        }
        tree.update(&self.count.to_le_bytes()).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum_of<'a>(elements: impl IntoIterator<Item = &'a Vec<u8>>) -> Sum {
        let mut sum = Sum::default();
        for element in elements {
            sum.update(element).add();
        }
        sum
    }

    proptest! {
        #[test]
        fn neither_order_nor_grouping_matters(
            mut elements in proptest::collection::vec(any::<Vec<u8>>(), 0..12),
            cut in any::<prop::sample::Index>(),
        ) {
            let whole = sum_of(&elements).digest();
            elements.reverse();
            prop_assert_eq!(sum_of(&elements).digest(), whole);
            let (one, other) = elements.split_at(cut.index(elements.len() + 1));
            let mut merged = sum_of(one);
            merged.merge(&sum_of(other));
            prop_assert_eq!(merged.digest(), whole);
        }

        #[test]
        fn one_element_more_or_another_one_is_another_sum(
            elements in proptest::collection::vec(any::<Vec<u8>>(), 1..8),
            more in any::<Vec<u8>>(),
        ) {
            let mut sum = sum_of(&elements);
            let before = sum.digest();
            sum.update(&more).add();
            prop_assert_ne!(sum.digest(), before);
            if more != elements[0] {
                let replaced = elements[1..].iter().chain([&more]);
                prop_assert_ne!(sum_of(replaced).digest(), before);
            }
        }
    }
}
