//! The Python objects behind the engine's value handles.

use penstock_engine::ValueId;
use pyo3::prelude::*;

/// A slab of objects. Nothing is dropped here: what is taken out is dropped by whoever took it, after the
/// lock is released, because a destructor may call back.
#[derive(Default)]
pub(crate) struct Values {
    objects: Vec<Option<Py<PyAny>>>,
    free: Vec<u32>,
}

impl Values {
    pub(crate) fn insert(&mut self, object: Py<PyAny>) -> ValueId {
        if let Some(slot) = self.free.pop() {
            self.objects[slot as usize] = Some(object);
            return ValueId(slot);
        }
        self.objects.push(Some(object));
        ValueId(self.objects.len() as u32 - 1)
    }

    pub(crate) fn get(&self, value: ValueId) -> Option<&Py<PyAny>> {
        self.objects.get(value.0 as usize)?.as_ref()
    }

    pub(crate) fn take(&mut self, value: ValueId) -> Option<Py<PyAny>> {
        let object = self.objects.get_mut(value.0 as usize)?.take()?;
        self.free.push(value.0);
        Some(object)
    }

    /// Objects held.
    pub(crate) fn len(&self) -> usize {
        self.objects.len() - self.free.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Py<PyAny>> {
        self.objects.iter().flatten()
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) -> Vec<Option<Py<PyAny>>> {
        self.free.clear();
        std::mem::take(&mut self.objects)
    }
}
