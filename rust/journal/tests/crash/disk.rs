//! What a power cut leaves of a recording: everything synced, and of the rest what a disk may have got to.

use std::collections::BTreeMap;
use std::path::Path;

use crate::vfs::Op;

/// What became of the writes since the last sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Lost,
    Kept,
    /// Kept but for the last one, of which there is half.
    Torn,
    /// Of each write, some sectors: which ones is drawn from the seed.
    Sectors(u64),
}

/// A store's files by what follows its name; one that is not there is not in it.
pub(crate) type Image = BTreeMap<String, Vec<u8>>;

/// The disk after the first so many steps of a recording.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    files: BTreeMap<String, File>,
    /// Batches acknowledged so far.
    pub(crate) acked: usize,
}

#[derive(Clone, Debug, Default)]
struct File {
    synced: Option<Vec<u8>>,
    rest: Vec<Op>,
}

const SECTOR: usize = 512;

impl Disk {
    /// One step further.
    pub(crate) fn apply(&mut self, op: &Op) {
        match op {
            Op::Acked(batches) => self.acked = *batches,
            Op::Write { file, .. } | Op::Truncate { file, .. } | Op::Delete { file } => {
                self.files.entry(file.clone()).or_default().rest.push(op.clone());
            }
            Op::Sync { file } => {
                let file = self.files.entry(file.clone()).or_default();
                let mut content = file.synced.take();
                for op in file.rest.drain(..) {
                    change(&mut content, &op);
                }
                file.synced = Some(content.unwrap_or_default());
            }
            Op::WriteFailed => {}
            Op::SyncFolder => {
                for file in self.files.values_mut() {
                    let is_delete = |op: &Op| matches!(op, Op::Delete { .. });
                    if let Some(at) = file.rest.iter().rposition(is_delete) {
                        file.rest.drain(..=at);
                        file.synced = None;
                    }
                }
            }
            Op::SyncFailed { file } => {
                self.files.entry(file.clone()).or_default().rest.clear();
            }
        }
    }

    /// What a power cut leaves now.
    pub(crate) fn image(&self, rest: Rest) -> Image {
        let mut image = Image::new();
        for (name, file) in &self.files {
            let mut content = file.synced.clone();
            let last = file.rest.len().saturating_sub(1);
            for (at, op) in file.rest.iter().enumerate() {
                match rest {
                    Rest::Lost => {}
                    Rest::Kept => change(&mut content, op),
                    Rest::Torn => change(&mut content, &cut(op, at == last)),
                    Rest::Sectors(seed) => {
                        let seed = mix(seed ^ at as u64);
                        for op in sectors(op, seed) {
                            change(&mut content, &op);
                        }
                    }
                }
            }
            if let Some(content) = content {
                image.insert(name.clone(), content);
            }
        }
        image
    }
}

/// Writes an image as the files of a store.
pub(crate) fn write(image: &Image, store: &Path) {
    for (name, content) in image {
        std::fs::write(format!("{}{name}", store.display()), content).expect("it is written");
    }
}

fn change(content: &mut Option<Vec<u8>>, op: &Op) {
    match op {
        Op::Write { offset, data, .. } => {
            let content = content.get_or_insert_default();
            let end = offset + data.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*offset..end].copy_from_slice(data);
        }
        Op::Truncate { size, .. } => content.get_or_insert_default().resize(*size, 0),
        Op::Delete { .. } => *content = None,
        Op::Sync { .. }
        | Op::SyncFolder
        | Op::WriteFailed
        | Op::SyncFailed { .. }
        | Op::Acked(_) => {}
    }
}

/// The first half of a write, if it is the last one.
fn cut(op: &Op, is_last: bool) -> Op {
    match op {
        Op::Write { file, offset, data } if is_last => {
            let data = data[..data.len() / 2].to_vec();
            Op::Write { file: file.clone(), offset: *offset, data }
        }
        other => other.clone(),
    }
}

/// The sectors of a write that got to the disk; of anything else, all or nothing.
fn sectors(op: &Op, seed: u64) -> Vec<Op> {
    let got_there = |at: u64| mix(seed ^ at) & 1 == 0;
    match op {
        Op::Write { file, offset, data } => {
            let mut parts = Vec::new();
            let mut at = *offset;
            while at < offset + data.len() {
                let end = ((at / SECTOR + 1) * SECTOR).min(offset + data.len());
                if got_there(at as u64) {
                    let data = data[at - offset..end - offset].to_vec();
                    parts.push(Op::Write { file: file.clone(), offset: at, data });
                }
                at = end;
            }
            parts
        }
        other if got_there(0) => vec![other.clone()],
        _ => Vec::new(),
    }
}

/// A number that looks drawn (splitmix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
