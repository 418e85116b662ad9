//! The flight file: which attempts are under way, in memory that outlives the process.
//!
//! `<store>.flight` is mapped, so that marking an attempt costs two stores, and a process that is killed
//! leaves behind what it was doing. The next one reads which runs may have brought it down, and up to which
//! record the store must reach: less means that something was lost.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapRaw;

/// A mapped flight file. Words of 64 bits in the machine's own order: a header, then two for each attempt.
pub(crate) struct Flight {
    map: MmapRaw,
    slots: usize,
}

/// What an earlier process has left.
#[derive(Default)]
pub(crate) struct Left {
    /// The last record that it has acknowledged; 0 if that is not known.
    pub(crate) acked_lsn: u64,
    /// Numbers of the runs with attempts under way when it went down, unless the machine did.
    pub(crate) runs: BTreeSet<u64>,
}

const MAGIC: u64 = u64::from_le_bytes(*b"psflight");
const VERSION: u64 = 1;
/// Words of the header: magic, version, boot id in two, acknowledged record, slots.
const HEADER: usize = 8;
const BOOT: usize = 2;
const ACKED: usize = 4;
const SLOTS: usize = 5;

impl Flight {
    /// What the file beside a store says; nothing if there is none that makes sense.
    pub(crate) fn read(store: &Path) -> Left {
        let Ok(bytes) = std::fs::read(path_of(store)) else { return Left::default() };
        let words: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|chunk| u64::from_ne_bytes(chunk.try_into().unwrap_or_default()))
            .collect();
        if words.len() < HEADER || words[0] != MAGIC || words[1] != VERSION {
            return Left::default();
        }
        let boot = boot_id();
        let same_boot = words[BOOT..BOOT + 2] == boot;
        let slots = words[HEADER..].iter().step_by(2).take(words[SLOTS] as usize);
        let runs = slots.copied().filter(|&run| run > 0 && same_boot).collect();
        Left { acked_lsn: words[ACKED], runs }
    }

    /// Makes the file anew, with room for so many attempts. Only for who owns the store.
    ///
    /// # Errors
    /// The file can't be made or mapped.
    pub(crate) fn create(store: &Path, slots: usize, acked_lsn: u64) -> io::Result<Self> {
        let file = open(&path_of(store))?;
        file.set_len(0)?;
        file.set_len(((HEADER + 2 * slots) * 8) as u64)?;
        let flight = Self { map: MmapRaw::map_raw(&file)?, slots };
        let boot = boot_id();
        for (index, word) in [(1, VERSION), (BOOT, boot[0]), (BOOT + 1, boot[1])] {
            flight.word(index).store(word, Ordering::Relaxed);
        }
        flight.word(SLOTS).store(slots as u64, Ordering::Relaxed);
        flight.acked(acked_lsn);
        flight.word(0).store(MAGIC, Ordering::Release);
        Ok(flight)
    }

    /// Everything up to this record is on disk, and may be acknowledged.
    pub(crate) fn acked(&self, lsn: u64) {
        self.word(ACKED).store(lsn, Ordering::Relaxed);
    }

    /// An attempt is about to be called.
    pub(crate) fn takes_off(&self, slot: usize, run: u64, node: u32) {
        if slot < self.slots {
            self.word(HEADER + 2 * slot + 1).store(node.into(), Ordering::Relaxed);
            self.word(HEADER + 2 * slot).store(run, Ordering::Relaxed);
        }
    }

    /// An attempt has ended.
    pub(crate) fn lands(&self, slot: usize) {
        if slot < self.slots {
            self.word(HEADER + 2 * slot).store(0, Ordering::Relaxed);
        }
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < HEADER + 2 * self.slots, "a word of the file");
        #[expect(clippy::cast_ptr_alignment, reason = "a map begins with a page")]
        let words = self.map.as_mut_ptr().cast::<u64>();
        // SAFETY: the map is that long, aligned to a page, lives as long as `self`, and is reached through
        // atomics alone; only the owner of the store maps the file.
        unsafe { AtomicU64::from_ptr(words.add(index)) }
    }
}

fn path_of(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(".flight");
    path.into()
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// What tells one boot of the machine from another: after a loss of power no run is to blame.
fn boot_id() -> [u64; 2] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits = text.bytes().filter(u8::is_ascii_hexdigit);
    let number = digits.fold(0_u128, |number, digit| {
        let digit = char::from(digit).to_digit(16).unwrap_or_default();
        number << 4 | u128::from(digit)
    });
    [(number >> 64) as u64, number as u64]
}
