//! Wakes an event loop: one byte in a pipe, and only when the loop said it is about to sleep.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

/// A pipe with at most one byte in it.
#[derive(Debug)]
pub(crate) struct Bell {
    state: AtomicU8,
    reader: PipeReader,
    writer: PipeWriter,
}

const QUIET: u8 = 0;
const ARMED: u8 = 1;
const RUNG: u8 = 2;

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self { state: AtomicU8::new(QUIET), reader, writer })
    }

    /// The end to watch.
    #[cfg(unix)]
    pub(crate) fn fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.reader)
    }

    /// From now on the next [`Bell::ring`] writes a byte. Orders like a fence: what was stored before a
    /// ring that came too early is seen by loads after this.
    pub(crate) fn arm(&self) {
        // One that rang and was not drained stays as it is: the byte is in the pipe.
        let _ = self.state.compare_exchange(QUIET, ARMED, SeqCst, SeqCst);
    }

    /// Takes the byte out, if there is one.
    pub(crate) fn disarm(&self) {
        if self.state.swap(QUIET, SeqCst) == RUNG {
            // It is there, or about to be written by the thread that rang.
            let _ = (&self.reader).read_exact(&mut [0]);
        }
    }

    /// Writes the byte if it was asked for since the last one.
    pub(crate) fn ring(&self) {
        if self.state.compare_exchange(ARMED, RUNG, SeqCst, SeqCst).is_ok() {
            // The pipe is empty and has a reader: this can't block or fail.
            let _ = (&self.writer).write_all(&[1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_byte_for_one_arming() {
        let bell = Bell::new().expect("a pipe");
        bell.ring();
        bell.arm();
        bell.ring();
        bell.ring();
        bell.disarm();
        bell.disarm();
        // Nothing may be left: this would block on an empty pipe, so a marker goes in first.
        (&bell.writer).write_all(&[7]).expect("room");
        let mut byte = [0];
        (&bell.reader).read_exact(&mut byte).expect("the marker");
        assert_eq!(byte, [7]);
    }
}
