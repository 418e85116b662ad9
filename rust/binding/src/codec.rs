//! How values travel to a durable store and back: by Python's codecs, or here where JSON is plain.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyInt, PyString, PyType};

use crate::values::Payload;

/// Writes and reads the values of one node.
pub(crate) struct Codec {
    encode: Py<PyAny>,
    decode: Py<PyAny>,
    /// Strings, ints, bools and None that are written here.
    plain: [bool; 4],
}

impl Codec {
    /// From a `penstock._payloads.Codec`; None without a durable store.
    pub(crate) fn new(codec: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        if codec.is_none() {
            return Ok(None);
        }
        let py = codec.py();
        let scalars: Vec<Bound<'_, PyType>> = codec.getattr("scalars")?.extract()?;
        let has = |class: Bound<'_, PyType>| scalars.iter().any(|other| other.is(&class));
        Ok(Some(Self {
            encode: codec.getattr("encode")?.unbind(),
            decode: codec.getattr("decode")?.unbind(),
            plain: [
                has(py.get_type::<PyString>()),
                has(py.get_type::<PyInt>()),
                has(py.get_type::<PyBool>()),
                has(py.None().bind(py).get_type()),
            ],
        }))
    }

    /// The JSON of a value.
    ///
    /// # Errors
    /// `ContractError`: it can't be written, or would not come back as it is.
    pub(crate) fn encode(&self, value: &Bound<'_, PyAny>) -> PyResult<Box<[u8]>> {
        if let Some(json) = self.plain(value) {
            return Ok(json.into());
        }
        let bytes = self.encode.bind(value.py()).call1((value,))?;
        Ok(bytes.cast_into::<PyBytes>()?.as_bytes().into())
    }

    /// A value from its JSON.
    ///
    /// # Errors
    /// `StoreCorrupt`: it is none of the node's.
    pub(crate) fn decode(&self, py: Python<'_>, json: &[u8]) -> PyResult<Py<PyAny>> {
        self.decode.call1(py, (PyBytes::new(py, json),))
    }

    fn plain(&self, value: &Bound<'_, PyAny>) -> Option<Vec<u8>> {
        let [strings, ints, bools, nones] = self.plain;
        if strings && value.is_exact_instance_of::<PyString>() {
            let text = value.cast::<PyString>().ok()?.to_str().ok()?;
            if text.len() >= 1 << 20 {
                return None;
            }
            // Just so much where nothing has to be escaped.
            let mut json = Vec::with_capacity(text.len() + 2);
            return serde_json::to_writer(&mut json, text).ok().map(|()| json);
        }
        if ints && value.is_exact_instance_of::<PyInt>() {
            return value.extract::<i64>().ok().map(|number| number.to_string().into_bytes());
        }
        if bools && value.is_exact_instance_of::<PyBool>() {
            return Some(if value.is_truthy().ok()? { "true" } else { "false" }.into());
        }
        (nones && value.is_none()).then(|| "null".into())
    }
}

/// What the store is told of a value that has a codec.
///
/// # Errors
/// As for [`Codec::encode`].
pub(crate) fn payload(codec: Option<&Codec>, value: &Bound<'_, PyAny>) -> PyResult<Payload> {
    codec.map_or(Ok(Payload::Unknown), |codec| codec.encode(value).map(Payload::Fresh))
}
