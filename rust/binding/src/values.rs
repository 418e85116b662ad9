//! The Python objects behind the engine's value handles.

use penstock_engine::ValueId;
use pyo3::prelude::*;

/// A slab of objects. Nothing is dropped here: what is taken out is dropped by whoever took it, after the
/// lock is released, because a destructor may call back.
#[derive(Default)]
pub(crate) struct Values {
    objects: Vec<Option<Py<PyAny>>>,
    free: Vec<u32>,
    /// What a durable store knows of them; nothing without one.
    payloads: Vec<Payload>,
}

/// What a durable store knows of a value.
#[derive(Default)]
pub(crate) enum Payload {
    #[default]
    Unknown,
    /// To be written with the record that brings the value.
    Fresh(Box<[u8]>),
    /// It is in the payload of this record: all of it, or the run's input of this index.
    Written { lsn: u64, input: Option<u32> },
    /// It is only there: the handle stands for nothing in memory.
    Cold { lsn: u64, input: Option<u32> },
}

impl Values {
    /// As [`Values::insert`], with what a durable store is to know of the value.
    pub(crate) fn insert_with(&mut self, object: Py<PyAny>, payload: Payload) -> ValueId {
        let value = self.insert(object);
        if !matches!(payload, Payload::Unknown) {
            *self.payload_mut(value) = payload;
        }
        value
    }

    /// What a durable store knows of a value.
    pub(crate) fn payload_mut(&mut self, value: ValueId) -> &mut Payload {
        let slot = value.0 as usize;
        if slot >= self.payloads.len() {
            self.payloads.resize_with(slot + 1, Payload::default);
        }
        &mut self.payloads[slot]
    }

    pub(crate) fn payload(&self, value: ValueId) -> Option<&Payload> {
        self.payloads.get(value.0 as usize)
    }

    /// The JSON of a value that its record is to take along.
    pub(crate) fn take_fresh(&mut self, value: ValueId, lsn: u64) -> Option<Box<[u8]>> {
        let payload = self.payloads.get_mut(value.0 as usize)?;
        match std::mem::replace(payload, Payload::Written { lsn, input: None }) {
            Payload::Fresh(bytes) => Some(bytes),
            other => {
                *payload = other;
                None
            }
        }
    }

    /// Whether a handle stands for something.
    pub(crate) fn holds(&self, value: ValueId) -> bool {
        self.get(value).is_some()
    }

    /// Puts another object behind a handle; gives the one before.
    pub(crate) fn replace(&mut self, value: ValueId, object: Py<PyAny>) -> Option<Py<PyAny>> {
        self.objects.get_mut(value.0 as usize)?.replace(object)
    }

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
        if let Some(payload) = self.payloads.get_mut(value.0 as usize) {
            *payload = Payload::Unknown;
        }
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
        self.payloads.clear();
        std::mem::take(&mut self.objects)
    }
}
