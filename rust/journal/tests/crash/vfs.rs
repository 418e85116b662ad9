//! SQLite's own file layer with a recorder in between: what it writes, syncs and deletes, in order, and one
//! call that fails when it is told to.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rusqlite::ffi;

/// What was done to a store's files, which are named by what follows the store's name.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Write {
        file: String,
        offset: usize,
        data: Vec<u8>,
    },
    Truncate {
        file: String,
        size: usize,
    },
    Sync {
        file: String,
    },
    /// A sync that failed: the system has dropped what it could not write, and holds it in memory only.
    SyncFailed {
        file: String,
    },
    Delete {
        file: String,
    },
    /// A write that failed.
    WriteFailed,
    /// The folder was synced: what was deleted stays so.
    SyncFolder,
    /// This many batches have been acknowledged.
    Acked(usize),
}

/// The call that fails, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Sync(usize),
    /// And two more after it.
    ThreeSyncs(usize),
    /// And the disk is full.
    WriteFull(usize),
    /// And half of it is written.
    WriteTorn(usize),
}

#[derive(Default)]
struct Recorder {
    store: Option<String>,
    ops: Vec<Op>,
    fault: Option<Fault>,
    syncs: usize,
    writes: usize,
    /// Files that are open, by their address.
    files: HashMap<usize, Open>,
}

#[derive(Clone)]
struct Open {
    /// Its name, if it is one of the recorded store's.
    file: Option<String>,
    /// The first sync of a new log syncs the folder too.
    syncs_folder: bool,
    methods: &'static ffi::sqlite3_io_methods,
}

static RECORDER: Mutex<Option<Recorder>> = Mutex::new(None);

fn recorder() -> MutexGuard<'static, Option<Recorder>> {
    RECORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records what happens to a store from now on.
pub(crate) fn record(store: &str, fault: Option<Fault>) {
    register();
    let mut recorder = recorder();
    let recorder = recorder.get_or_insert_default();
    recorder.store = Some(store.to_owned());
    recorder.ops.clear();
    (recorder.fault, recorder.syncs, recorder.writes) = (fault, 0, 0);
}

/// Notes that so many batches were acknowledged.
pub(crate) fn acked(batches: usize) {
    if let Some(recorder) = recorder().as_mut() {
        recorder.ops.push(Op::Acked(batches));
    }
}

/// Ends the recording; gives what happened, and how many syncs and writes there were.
pub(crate) fn recorded() -> (Vec<Op>, usize, usize) {
    let mut recorder = recorder();
    let recorder = recorder.get_or_insert_default();
    recorder.store = None;
    (std::mem::take(&mut recorder.ops), recorder.syncs, recorder.writes)
}

/// Puts the recorder under every connection opened from now on.
fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: SQLite initializes itself here; the layer found is static, and so is its leaked copy.
        unsafe {
            assert_eq!(ffi::sqlite3_initialize(), ffi::SQLITE_OK);
            let real = ffi::sqlite3_vfs_find(std::ptr::null());
            assert!(!real.is_null());
            let mut layer: ffi::sqlite3_vfs = *real;
            layer.zName = c"recorder".as_ptr();
            layer.xOpen = Some(open);
            layer.xDelete = Some(delete);
            let layer = Box::leak(Box::new(layer));
            assert_eq!(ffi::sqlite3_vfs_register(layer, 1), ffi::SQLITE_OK);
        }
    });
}

/// The layer below.
fn real() -> *mut ffi::sqlite3_vfs {
    // SAFETY: it is registered for as long as the process lives.
    unsafe { ffi::sqlite3_vfs_find(c"unix".as_ptr()) }
}

fn file_name(recorder: &Recorder, path: *const c_char) -> Option<String> {
    if path.is_null() {
        return None;
    }
    // SAFETY: SQLite gives paths as C strings.
    let path = unsafe { CStr::from_ptr(path) }.to_str().ok()?;
    path.strip_prefix(recorder.store.as_deref()?).map(ToOwned::to_owned)
}

unsafe extern "C" fn open(
    _: *mut ffi::sqlite3_vfs,
    path: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let real = real();
    // SAFETY: the arguments are passed on as they came to the layer that they are for.
    let code = unsafe {
        match (*real).xOpen {
            Some(open) => open(real, path, file, flags, out_flags),
            None => ffi::SQLITE_MISUSE,
        }
    };
    if code != ffi::SQLITE_OK {
        return code;
    }
    // SAFETY: an opened file has its methods, which are static in the layer below.
    unsafe {
        let methods: &'static ffi::sqlite3_io_methods = &*(*file).pMethods;
        let mut ours = *methods;
        ours.xClose = Some(close);
        ours.xWrite = Some(write);
        ours.xTruncate = Some(truncate);
        ours.xSync = Some(sync);
        (*file).pMethods = Box::leak(Box::new(ours));
        let mut recorder = recorder();
        let recorder = recorder.get_or_insert_default();
        let name = file_name(recorder, path);
        let is_log = ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL;
        let syncs_folder = flags & ffi::SQLITE_OPEN_CREATE != 0 && flags & is_log != 0;
        recorder.files.insert(file as usize, Open { file: name, syncs_folder, methods });
    }
    code
}

unsafe extern "C" fn delete(
    _: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    sync_folder: c_int,
) -> c_int {
    if let Some(recorder) = recorder().as_mut()
        && let Some(file) = file_name(recorder, path)
    {
        recorder.ops.push(Op::Delete { file });
        if sync_folder & 1 != 0 {
            recorder.ops.push(Op::SyncFolder);
        }
    }
    let real = real();
    // SAFETY: as for `open`.
    unsafe {
        match (*real).xDelete {
            Some(delete) => delete(real, path, sync_folder),
            None => ffi::SQLITE_MISUSE,
        }
    }
}

/// An open file; the lock is not held while the layer below is called.
fn opened(file: *mut ffi::sqlite3_file) -> Open {
    let recorder = recorder();
    let opened = recorder.as_ref().and_then(|recorder| recorder.files.get(&(file as usize)));
    opened.expect("it was opened here").clone()
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    let methods = opened(file).methods;
    if let Some(recorder) = recorder().as_mut() {
        recorder.files.remove(&(file as usize));
    }
    // SAFETY: the file is the one these methods were made for.
    unsafe { methods.xClose.map_or(ffi::SQLITE_OK, |close| close(file)) }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    length: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let Open { file: name, methods, .. } = opened(file);
    let mut bytes = length;
    let mut code = ffi::SQLITE_OK;
    if let Some(recorder) = recorder().as_mut()
        && let Some(name) = name
        && recorder.store.is_some()
    {
        let nth = recorder.writes;
        recorder.writes += 1;
        if recorder.fault == Some(Fault::WriteFull(nth)) {
            recorder.ops.push(Op::WriteFailed);
            return ffi::SQLITE_FULL;
        }
        if recorder.fault == Some(Fault::WriteTorn(nth)) {
            recorder.ops.push(Op::WriteFailed);
            bytes /= 2;
            code = ffi::SQLITE_IOERR_WRITE;
        }
        // SAFETY: SQLite gives this many bytes to write.
        let data = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), bytes as usize) };
        let offset = offset as usize;
        recorder.ops.push(Op::Write { file: name, offset, data: data.to_vec() });
    }
    // SAFETY: the file is the one these methods were made for.
    let written = unsafe { methods.xWrite.map(|write| write(file, data, bytes, offset)) };
    if code == ffi::SQLITE_OK { written.unwrap_or(ffi::SQLITE_MISUSE) } else { code }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    let Open { file: name, methods, .. } = opened(file);
    if let Some(recorder) = recorder().as_mut()
        && let Some(file) = name
        && recorder.store.is_some()
    {
        recorder.ops.push(Op::Truncate { file, size: size as usize });
    }
    // SAFETY: the file is the one these methods were made for.
    unsafe { methods.xTruncate.map_or(ffi::SQLITE_MISUSE, |truncate| truncate(file, size)) }
}

/// Syncs nothing: the processes of a test all see what is written, and what a crash leaves is worked out
/// from the recording.
unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    let Open { file: name, syncs_folder, .. } = opened(file);
    if let Some(recorder) = recorder().as_mut()
        && let Some(name) = name
        && recorder.store.is_some()
    {
        let nth = recorder.syncs;
        recorder.syncs += 1;
        let fails = match recorder.fault {
            Some(Fault::Sync(fails)) => nth == fails,
            Some(Fault::ThreeSyncs(first)) => (first..first + 3).contains(&nth),
            _ => false,
        };
        if fails {
            recorder.ops.push(Op::SyncFailed { file: name });
            return ffi::SQLITE_IOERR_FSYNC;
        }
        recorder.ops.push(Op::Sync { file: name });
        if syncs_folder {
            recorder.ops.push(Op::SyncFolder);
            if let Some(open) = recorder.files.get_mut(&(file as usize)) {
                open.syncs_folder = false;
            }
        }
    }
    ffi::SQLITE_OK
}
