//! The few C calls that `PyO3` has no cheap safe form for: each is a small safe function here, and the rest
//! of the crate is free of `unsafe`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

/// What sending `None` into a coroutine gave. Two words, since each step hands it on: moving a `PyResult`
/// takes longer than waking a coroutine.
pub(crate) enum Sent<'py> {
    /// It waits for this.
    Suspended(Bound<'py, PyAny>),
    /// It returned this.
    Returned(Bound<'py, PyAny>),
    /// It raised this.
    Raised(Box<PyErr>),
}

/// Calls `function(*arguments)` by vectorcall.
pub(crate) fn call<'py>(
    function: &Bound<'py, PyAny>,
    arguments: &[Py<PyAny>],
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: `Py<PyAny>` is a transparent pointer to a live object, so the slice is an array of
    // `arguments.len()` of them that outlives the call; the result is a new reference or null with an
    // exception set.
    unsafe {
        let result = ffi::PyObject_Vectorcall(
            function.as_ptr(),
            arguments.as_ptr().cast(),
            arguments.len(),
            std::ptr::null_mut(),
        );
        Bound::from_owned_ptr_or_err(function.py(), result)
    }
}

/// Calls `function(*arguments)` where the last `names.len()` arguments are passed by keyword.
pub(crate) fn call_named<'py>(
    function: &Bound<'py, PyAny>,
    arguments: &[Bound<'py, PyAny>],
    names: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: as in `call`; `names` holds as many strings as there are keyword arguments at the end.
    unsafe {
        let result = ffi::PyObject_Vectorcall(
            function.as_ptr(),
            arguments.as_ptr().cast(),
            arguments.len() - names.len(),
            names.as_ptr(),
        );
        Bound::from_owned_ptr_or_err(function.py(), result)
    }
}

/// A new instance of `class`, before its `__init__`.
pub(crate) fn allocate<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    let arguments = PyTuple::empty(class.py());
    let class_ptr = class.as_type_ptr();
    // SAFETY: a live type object; its slot is called as `type.__call__` would, and gives a new reference
    // or null with an exception set.
    unsafe {
        let Some(new) = (*class_ptr).tp_new else {
            return Err(PyRuntimeError::new_err("the class can't be instantiated"));
        };
        let instance = new(class_ptr, arguments.as_ptr(), std::ptr::null_mut());
        Bound::from_owned_ptr_or_err(class.py(), instance)
    }
}

/// Calls `instance.__init__(*argument, **named)` without looking it up.
pub(crate) fn initialise<'py>(
    instance: &Bound<'py, PyAny>,
    argument: Option<Bound<'py, PyAny>>,
    named: &Bound<'py, PyDict>,
) -> PyResult<()> {
    let py = instance.py();
    let arguments = match argument {
        Some(argument) => PyTuple::new(py, [argument])?,
        None => PyTuple::empty(py),
    };
    // SAFETY: the slot of the type of a live object, called as `type.__call__` would; -1 means that an
    // exception is set.
    let status = unsafe {
        let Some(init) = (*instance.get_type_ptr()).tp_init else {
            return Err(PyRuntimeError::new_err("the class has no __init__"));
        };
        init(instance.as_ptr(), arguments.as_ptr(), named.as_ptr())
    };
    if status == 0 { Ok(()) } else { Err(PyErr::fetch(instance.py())) }
}

/// Sends `None` into a coroutine, without the `StopIteration` that a Python caller would see.
pub(crate) fn send<'py>(coroutine: &Bound<'py, PyAny>) -> Sent<'py> {
    let py = coroutine.py();
    let mut result: *mut ffi::PyObject = std::ptr::null_mut();
    // SAFETY: `coroutine` is a live object and `result` a valid place for the out-pointer, which is a
    // new reference unless an exception is set.
    unsafe {
        match ffi::PyIter_Send(coroutine.as_ptr(), ffi::Py_None(), &raw mut result) {
            ffi::PySendResult::PYGEN_NEXT => Sent::Suspended(Bound::from_owned_ptr(py, result)),
            ffi::PySendResult::PYGEN_RETURN => Sent::Returned(Bound::from_owned_ptr(py, result)),
            ffi::PySendResult::PYGEN_ERROR => Sent::Raised(Box::new(PyErr::fetch(py))),
        }
    }
}

/// A copy of a `contextvars.Context`.
pub(crate) fn copy_context<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: a live object goes in; the call checks its type and gives a new reference, or null with an
    // exception set.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), ffi::PyContext_Copy(context.as_ptr())) }
}

/// A copy of the current context.
pub(crate) fn current_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the thread is attached; a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// Runs `body` inside a context that is not entered elsewhere.
pub(crate) fn within<T>(context: &Bound<'_, PyAny>, body: impl FnOnce() -> T) -> PyResult<T> {
    // SAFETY: a live context; the call fails with an exception set if it is entered already.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } != 0 {
        return Err(PyErr::fetch(context.py()));
    }
    let result = body();
    // SAFETY: the context was entered above, and whatever `body` entered it has left again.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } != 0 {
        return Err(PyErr::fetch(context.py()));
    }
    Ok(result)
}

/// As [`send`], inside a context that is not entered elsewhere. An error of the context is boxed too.
pub(crate) fn send_within<'py>(
    context: &Bound<'py, PyAny>,
    coroutine: &Bound<'py, PyAny>,
) -> Result<Sent<'py>, Box<PyErr>> {
    let py = context.py();
    // SAFETY: as in `within`.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } != 0 {
        return Err(Box::new(PyErr::fetch(py)));
    }
    let sent = send(coroutine);
    // SAFETY: as in `within`.
    if unsafe { ffi::PyContext_Exit(context.as_ptr()) } != 0 {
        return Err(Box::new(PyErr::fetch(py)));
    }
    Ok(sent)
}

/// Whether `value` is an instance of exactly `class`.
pub(crate) fn is_exactly(value: &Bound<'_, PyAny>, class: &Py<PyAny>) -> bool {
    value.get_type_ptr().cast() == class.as_ptr()
}

/// Whether the class of `value` inherits from `class`; virtual subclasses do not count.
pub(crate) fn inherits(value: &Bound<'_, PyAny>, class: &Py<PyAny>) -> bool {
    // SAFETY: both are live type objects: the first is the class of a live object, the second was
    // checked to be a type when the contract was made.
    unsafe { ffi::PyType_IsSubtype(value.get_type_ptr(), class.as_ptr().cast()) != 0 }
}

/// The bytes of an `asyncio.Task`, by which a trace that a step left on it is seen: a reference kept, a
/// weak reference, a callback, a cancellation, a name, an attribute all change them.
///
/// It compares the object with itself only, so it needs to know little of the layout: the object's own
/// words, and the two before the collector's header where newer Pythons keep weak references and
/// attributes (`Py_TPFLAGS_MANAGED_WEAKREF` and `_DICT`).
pub(crate) struct Fingerprint {
    words: [usize; WORDS],
    managed: [usize; 2],
    /// Words in use; 0 if the object is larger than expected, which then counts as touched.
    len: usize,
    has_managed: bool,
}

const WORDS: usize = 64;
/// `Py_TPFLAGS_MANAGED_WEAKREF | Py_TPFLAGS_MANAGED_DICT`
const MANAGED: std::ffi::c_ulong = 1 << 3 | 1 << 4;
/// Words from the object back to the first managed one.
const MANAGED_OFFSET: usize = 4;

impl Fingerprint {
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> Self {
        // SAFETY: the type of a live object.
        let (size, flags) = unsafe {
            let class = object.get_type_ptr();
            ((*class).tp_basicsize as usize, ffi::PyType_GetFlags(class))
        };
        let len = size / size_of::<usize>();
        let len = if len > WORDS { 0 } else { len };
        let has_managed = flags & MANAGED != 0;
        let mut fingerprint = Self { words: [0; WORDS], managed: [0; 2], len, has_managed };
        let (words, managed) = fingerprint.read(object);
        fingerprint.managed = managed;
        fingerprint.words[..len].copy_from_slice(words);
        fingerprint
    }

    pub(crate) fn is_of(&self, object: &Bound<'_, PyAny>) -> bool {
        let (words, managed) = self.read(object);
        self.len > 0 && words == &self.words[..self.len] && managed == self.managed
    }

    fn read<'a>(&self, object: &'a Bound<'_, PyAny>) -> (&'a [usize], [usize; 2]) {
        let start = object.as_ptr().cast::<usize>();
        // SAFETY: an instance of a type that is not variable-sized spans `tp_basicsize` aligned bytes,
        // and one with managed fields has four more words in front, the first two of which they are.
        unsafe {
            let words = std::slice::from_raw_parts(start, self.len);
            let managed = if self.has_managed {
                let first = start.sub(MANAGED_OFFSET);
                [*first, *first.add(1)]
            } else {
                [0; 2]
            };
            (words, managed)
        }
    }
}

/// The interpreter must be the main one, since the engine belongs to one loop of one interpreter, and
/// have its lock, which stands in for the engine's.
pub(crate) fn refuse_unsupported(py: Python<'_>) -> PyResult<()> {
    let has_lock = py.import("sys")?.getattr_opt("_is_gil_enabled")?;
    if has_lock.map_or(Ok(true), |it| it.call0()?.is_truthy())? {
        refuse_subinterpreter()
    } else {
        Err(PyRuntimeError::new_err(
            "penstock needs the interpreter's lock; leave PYTHON_GIL and -X gil at their defaults",
        ))
    }
}

fn refuse_subinterpreter() -> PyResult<()> {
    // SAFETY: the thread is attached, so there is a current interpreter.
    let id = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    if id == 0 {
        Ok(())
    } else {
        Err(PyRuntimeError::new_err(
            "penstock does not run in a subinterpreter; open the Runtime in the main one",
        ))
    }
}
