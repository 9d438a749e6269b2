//! Things by numbers that are given out in turn, such as leases and workers: found in a step or
//! two however many there are, and iterated by number.

use alloc::{boxed::Box, collections::BTreeMap};
use core::{array, fmt, marker::PhantomData};

use wasmgrid_proto::{JobId, LeaseId, WorkerId};

/// Numbers of one page. So few pages are searched that they stay in a processor's cache; and a
/// page that is kept for a single thing is half a kilobyte.
const PAGE: usize = 64;

/// A kind of number.
pub(crate) trait Number: Copy {
    fn number(self) -> u64;
    fn of(number: u64) -> Self;
}

/// Things by number. Where numbers are neighbours, finding one costs a search among pages of them;
/// numbers far apart cost a page each.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Table<K, T> {
    pages: BTreeMap<u64, Box<Page<T>>>,
    keys: PhantomData<K>,
}

#[derive(Clone, PartialEq, Eq)]
struct Page<T> {
    items: [Option<Box<T>>; PAGE],
    count: usize,
}

impl<K: Number, T> Table<K, T> {
    /// How many things there are; it takes as long as there are pages.
    pub(crate) fn count(&self) -> u64 {
        self.pages.values().map(|page| page.count as u64).sum()
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&T> {
        let (page, at) = place(*key);
        self.pages.get(&page)?.items.get(at)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        let (page, at) = place(*key);
        self.pages.get_mut(&page)?.items.get_mut(at)?.as_deref_mut()
    }

    /// Puts a thing in its place, and returns what was there.
    pub(crate) fn insert(&mut self, key: K, item: T) -> Option<Box<T>> {
        let (page, at) = place(key);
        let page = self.pages.entry(page).or_default();
        let before = page.items.get_mut(at)?.replace(Box::new(item));
        if before.is_none() {
            page.count += 1;
        }
        before
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<Box<T>> {
        let (number, at) = place(*key);
        let page = self.pages.get_mut(&number)?;
        let item = page.items.get_mut(at)?.take()?;
        page.count -= 1;
        if page.count == 0 {
            self.pages.remove(&number);
        }
        Some(item)
    }

    /// All of them, by number.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (K, &T)> {
        self.pages.iter().flat_map(|(page, content)| {
            let items = content.items.iter().enumerate();
            items.filter_map(|(at, item)| Some((key(*page, at), item.as_deref()?)))
        })
    }

    /// All of them, by number, to change.
    pub(crate) fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = (K, &mut T)> {
        self.pages.iter_mut().flat_map(|(page, content)| {
            let items = content.items.iter_mut().enumerate();
            items.filter_map(|(at, item)| Some((key(*page, at), item.as_deref_mut()?)))
        })
    }
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Self { pages: BTreeMap::new(), keys: PhantomData }
    }
}

impl<K: Number + fmt::Debug, T: fmt::Debug> fmt::Debug for Table<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { items: array::from_fn(|_| None), count: 0 }
    }
}

fn place<K: Number>(key: K) -> (u64, usize) {
    let number = key.number();
    (number / PAGE as u64, (number % PAGE as u64) as usize)
}

fn key<K: Number>(page: u64, at: usize) -> K {
    K::of(page * PAGE as u64 + at as u64)
}

macro_rules! numbers {
    ($($name:ident),*) => {$(
        impl Number for $name {
            fn number(self) -> u64 {
                self.0
            }

            fn of(number: u64) -> Self {
                Self(number)
            }
        }
    )*};
}

numbers!(JobId, LeaseId, WorkerId);

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn it_is_the_map_of_the_same_things_after_every_step() {
        let (mut table, mut model) = (Table::<WorkerId, u64>::default(), BTreeMap::new());
        let mut state = 11_u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        for step in 0..20_000 {
            let id = WorkerId(draw(150) * if draw(9) == 0 { u64::MAX / 150 } else { 1 });
            match draw(3) {
                0 => assert_eq!(table.remove(&id).map(|item| *item), model.remove(&id)),
                1 => assert_eq!(table.insert(id, step).map(|item| *item), model.insert(id, step)),
                _ => assert_eq!(table.get_mut(&id).copied(), model.get(&id).copied()),
            }
            assert_eq!(table.contains_key(&id), model.contains_key(&id));
            if step % 100 == 0 {
                let all: Vec<(WorkerId, u64)> = table.iter().map(|(id, at)| (id, *at)).collect();
                assert!(all.iter().copied().eq(model.iter().map(|(id, at)| (*id, *at))));
                assert!(
                    table.iter_mut().rev().eq(model.iter_mut().rev().map(|(id, at)| (*id, at)))
                );
            }
        }
        model.keys().for_each(|id| assert!(table.remove(id).is_some()));
        assert!(table.pages.is_empty());
    }
}
