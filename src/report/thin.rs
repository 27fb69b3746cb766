//! Things that happened one after another, of which only as many are kept as a picture can show.
//!
//! A run of a day has 86,400 lines, a picture some hundred columns: when there are too many things, those of one
//! column are gathered into few, and columns become twice as wide as often as it takes. Does not know how long the
//! run will be, nor what is drawn of it.

/// So many are kept at most.
const MOST: usize = 1024;

/// Something with a time, in seconds.
pub(super) trait Timed: Sized {
    /// When it begins.
    fn from(&self) -> f64;

    /// Two things or fewer that stand for all of these, of which there is one at least.
    fn gather(group: &[Self]) -> Vec<Self>;
}

/// Things in the order of their times.
#[derive(Debug)]
pub(super) struct Thin<T> {
    items: Vec<T>,
    /// Of one column.
    width_s: f64,
}

impl<T> Default for Thin<T> {
    fn default() -> Thin<T> {
        Thin { items: Vec::new(), width_s: 1.0 }
    }
}

impl<T: Timed> Thin<T> {
    /// One more.
    pub(super) fn push(&mut self, item: T) {
        self.items.push(item);
        if self.items.len() <= MOST {
            return;
        }
        self.gather();
        // Room for many, or the next few would make columns wider again.
        while self.items.len() > MOST / 2 {
            self.width_s *= 2.0;
            self.gather();
        }
    }

    fn gather(&mut self) {
        let column = |item: &T| (item.from() / self.width_s).floor();
        let columns = self.items.chunk_by(|one, next| column(one) == column(next));
        self.items = columns.flat_map(T::gather).collect();
    }

    /// What is left of them.
    pub(super) fn items(&self) -> &[T] {
        &self.items
    }
}

/// A figure over some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) value: f64,
}

impl Timed for Sample {
    fn from(&self) -> f64 {
        self.from
    }

    /// The extremes, in their order.
    fn gather(group: &[Sample]) -> Vec<Sample> {
        let by_value = |one: &&Sample, other: &&Sample| one.value.total_cmp(&other.value);
        let extremes =
            group.iter().min_by(by_value).into_iter().chain(group.iter().max_by(by_value));
        let mut extremes: Vec<Sample> = extremes.copied().collect();
        extremes.sort_by(|one, other| one.from.total_cmp(&other.from));
        extremes.dedup();
        extremes
    }
}

/// Something that happened so many times at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mark {
    pub(super) at: f64,
    pub(super) count: u64,
}

impl Timed for Mark {
    fn from(&self) -> f64 {
        self.at
    }

    /// All of them, when the first was.
    fn gather(group: &[Mark]) -> Vec<Mark> {
        let count = group.iter().fold(0, |sum: u64, mark| sum.saturating_add(mark.count));
        group.first().map(|first| Mark { at: first.at, count }).into_iter().collect()
    }
}

/// What a time was like, one of few.
pub(super) trait Kind: Copy + PartialEq {
    /// What all of these together were like.
    fn of(group: &[Piece<Self>]) -> Self;
}

/// A time of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece<K> {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) kind: K,
}

impl<K: Kind> Timed for Piece<K> {
    fn from(&self) -> f64 {
        self.from
    }

    fn gather(group: &[Piece<K>]) -> Vec<Piece<K>> {
        let ends = group.first().zip(group.last());
        let whole = |(first, last): (&Piece<K>, &Piece<K>)| Piece {
            from: first.from,
            to: last.to,
            kind: K::of(group),
        };
        ends.map(whole).into_iter().collect()
    }
}

impl<K: Kind> Thin<Piece<K>> {
    /// One more, which may only be more of the last.
    pub(super) fn extend(&mut self, piece: Piece<K>) {
        match self.items.last_mut() {
            Some(last) if last.kind == piece.kind && last.to == piece.from => last.to = piece.to,
            _ => self.push(piece),
        }
    }

    /// The kind of the last piece.
    pub(super) fn last(&self) -> Option<K> {
        self.items.last().map(|piece| piece.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_bounded_and_keeps_its_extremes() {
        let mut day = Thin::default();
        for second in 0..86_400 {
            let value = match second {
                40_000 => 0.0,
                70_001 => 9.0,
                _ => 5.0,
            };
            let from = f64::from(second);
            day.push(Sample { from, to: from + 1.0, value });
        }
        let items = day.items();
        assert!((MOST / 4..=MOST).contains(&items.len()), "{}", items.len());
        assert!(items.is_sorted_by(|one, next| one.from <= next.from));
        for (from, value) in [(40_000.0, 0.0), (70_001.0, 9.0)] {
            assert!(items.contains(&Sample { from, to: from + 1.0, value }), "{value}");
        }
    }

    #[test]
    fn marks_are_never_lost() {
        let mut marks = Thin::default();
        (0..50_000).for_each(|at| marks.push(Mark { at: f64::from(at), count: 2 }));
        assert!(marks.items().len() <= MOST);
        assert_eq!(marks.items().iter().map(|mark| mark.count).sum::<u64>(), 100_000);
    }

    #[test]
    fn things_at_one_moment_are_bounded_too() {
        let mut marks = Thin::default();
        (0..5_000).for_each(|_| marks.push(Mark { at: 1e9, count: 1 }));
        assert!(marks.items().len() <= MOST);
    }
}
