//! Interior mutability under the interpreter's lock.

use std::cell::{Cell, UnsafeCell};
use std::ops::{Deref, DerefMut};

use pyo3::prelude::*;

/// A value that whoever holds the interpreter's lock may borrow, one at a time. Two plain stores where a
/// mutex takes two atomic operations.
///
/// The rule that makes it work is the crate's: no Python is called, and no Python object dropped, while
/// a [`Guard`] lives, so the lock does not change hands in between. Breaking it panics, and does not
/// deadlock.
pub(crate) struct GilCell<T> {
    value: UnsafeCell<T>,
    state: Cell<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Borrowed,
    /// A panic left the value half changed.
    Broken,
    /// Borrowed after that.
    Salvaged,
}

// SAFETY: `value` and `state` are reached only with a `Python` token, so by one thread at a time: the
// module declares that it uses the lock, and a runtime refuses an interpreter that has none.
unsafe impl<T: Send> Sync for GilCell<T> {}

impl<T> GilCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value), state: Cell::new(State::Free) }
    }

    /// Borrows the value, for as long as no Python is called.
    ///
    /// # Panics
    /// If it is borrowed already, or a panic has broken it: both are bugs of this crate.
    pub(crate) fn lock<'a>(&'a self, _py: Python<'a>) -> Guard<'a, T> {
        match self.state.replace(State::Borrowed) {
            State::Free => Guard { cell: self },
            State::Borrowed | State::Salvaged => {
                panic!("penstock's engine was re-entered; this is a bug")
            }
            State::Broken => {
                self.state.set(State::Broken);
                panic!("penstock's engine has failed earlier; this runtime can't go on")
            }
        }
    }

    /// Whether a panic has left the value half changed.
    pub(crate) fn is_broken(&self) -> bool {
        self.state.get() == State::Broken
    }

    /// Borrows a value that a panic has left half changed, to let go of what is in it.
    pub(crate) fn salvage<'a>(&'a self, _py: Python<'a>) -> Option<Guard<'a, T>> {
        self.is_broken().then(|| {
            self.state.set(State::Salvaged);
            Guard { cell: self }
        })
    }

    /// Looks at the value from a garbage collection, which holds the lock but has no token; nothing if it
    /// is borrowed.
    pub(crate) fn peek(&self) -> Option<&T> {
        // SAFETY: the collector holds the lock and changes nothing, and nothing else runs meanwhile.
        (self.state.get() == State::Free).then(|| unsafe { &*self.value.get() })
    }
}

/// A borrowed value.
pub(crate) struct Guard<'a, T> {
    cell: &'a GilCell<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: there is one guard at a time, and it borrows the cell.
        unsafe { &*self.cell.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.cell.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        let broken = std::thread::panicking() || self.cell.state.get() == State::Salvaged;
        self.cell.state.set(if broken { State::Broken } else { State::Free });
    }
}
