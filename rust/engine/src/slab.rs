//! A table whose keys tell a removed entry from the one that took its slot.

/// Entries by (slot, generation). Insert, look up and remove are O(1); slots are reused last in first out.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
    len: usize,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: Vec::new(), free: Vec::new(), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Keeps `value` and gives its key.
    pub(crate) fn insert(&mut self, value: T) -> u64 {
        self.len += 1;
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.entries[slot as usize];
            entry.value = Some(value);
            return key(slot, entry.generation);
        }
        let slot = self.entries.len() as u32;
        self.entries.push(Entry { generation: 0, value: Some(value) });
        key(slot, 0)
    }

    pub(crate) fn get(&self, key: u64) -> Option<&T> {
        let entry = self.entries.get(slot(key))?;
        if entry.generation == generation(key) { entry.value.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let entry = self.entries.get_mut(slot(key))?;
        if entry.generation == generation(key) { entry.value.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<T> {
        let entry = self.entries.get_mut(slot(key))?;
        if entry.generation != generation(key) {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot(key) as u32);
        self.len -= 1;
        Some(value)
    }

    /// Key of the live entry in `slot`.
    pub(crate) fn key_of(&self, slot: u32) -> Option<u64> {
        let entry = self.entries.get(slot as usize)?;
        entry.value.as_ref().map(|_| key(slot, entry.generation))
    }

    /// Every entry in slot order. O(slots).
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.entries.iter().enumerate().filter_map(|(slot, entry)| {
            entry.value.as_ref().map(|value| (key(slot as u32, entry.generation), value))
        })
    }
}

const fn key(slot: u32, generation: u32) -> u64 {
    (generation as u64) << 32 | slot as u64
}

const fn slot(key: u64) -> usize {
    (key & 0xffff_ffff) as usize
}

const fn generation(key: u64) -> u32 {
    (key >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_dies_with_its_entry_even_when_the_slot_is_reused() {
        let mut slab = Slab::new();
        let first = slab.insert("a");
        assert_eq!(slab.remove(first), Some("a"));
        let second = slab.insert("b");
        assert_ne!(first, second);
        assert_eq!((slab.get(first), slab.get(second)), (None, Some(&"b")));
        assert_eq!((slab.remove(first), slab.len()), (None, 1));
    }
}
