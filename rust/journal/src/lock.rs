//! One runtime owns a store: a lock on the file beside it, which the kernel lifts when its process ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::StoreError;

/// The lock, for as long as it is kept.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    #[cfg(unix)]
    pub(crate) fn fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsRawFd::as_raw_fd(&self.file)
    }

    /// Takes the lock of a store.
    pub(crate) fn take(store: &Path) -> Result<Self, StoreError> {
        let path = beside(store);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| StoreError::io(&error, &path))?;
        // Somebody who only asks for the owner holds it for a moment.
        for pause_ms in [1, 10, 50, 0] {
            match file.try_lock() {
                Ok(()) => {
                    let noted = file
                        .set_len(0)
                        .and_then(|()| write!(file, "{}", std::process::id()))
                        .and_then(|()| file.flush());
                    noted.map_err(|error| StoreError::io(&error, &path))?;
                    return Ok(Self { file });
                }
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(Duration::from_millis(pause_ms));
                }
                Err(TryLockError::Error(error)) => return Err(StoreError::io(&error, &path)),
            }
        }
        Err(StoreError::Locked { path: store.to_path_buf(), pid: pid(&mut file) })
    }
}

/// Whether a runtime owns a store, and its process if it is known.
pub fn owner(store: &Path) -> Option<Option<u32>> {
    let mut file = File::open(beside(&resolved(store).ok()?)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(pid(&mut file)),
        _ => None,
    }
}

fn pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn beside(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

/// A store's one path: two names of one file must not have two locks.
pub(crate) fn resolved(store: &Path) -> Result<PathBuf, StoreError> {
    if let Ok(path) = fs::canonicalize(store) {
        return Ok(path);
    }
    let folder = match store.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let missing = || StoreError::MissingFolder { path: folder.to_path_buf() };
    let name = store.file_name().ok_or_else(missing)?;
    Ok(fs::canonicalize(folder).map_err(|_| missing())?.join(name))
}

/// Refuses a store on a network file system, where the operating system says so.
pub(crate) fn refuse_network(store: &Path) -> Result<(), StoreError> {
    const NETWORK: [&str; 15] = [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "beegfs",
        "9p",
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.s3fs",
    ];
    let Ok(mounts) = fs::read_to_string("/proc/self/mountinfo") else { return Ok(()) };
    match file_system(&mounts, store) {
        Some(kind) if NETWORK.contains(&kind) => {
            Err(StoreError::NetworkFs { path: store.to_path_buf(), kind: kind.to_owned() })
        }
        _ => Ok(()),
    }
}

/// The file system that a path is on: of the longest mount point above it, and of those the last.
fn file_system<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let above = mounts.lines().filter_map(|line| {
        let (mount, rest) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?.replace("\\040", " ");
        path.starts_with(&point).then_some((point.len(), rest.split(' ').next()?))
    });
    above.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_names_the_file_system() {
        let mounts = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
                      23 22 0:40 / /home/a\\040b rw,relatime shared:1 - nfs4 host:/x rw\n\
                      24 22 0:41 / /home/a\\040b/local rw - xfs /dev/vdb rw\n";
        let of = |path: &str| file_system(mounts, Path::new(path));
        assert_eq!(of("/home/store.db"), Some("ext4"));
        assert_eq!(of("/home/a b/store.db"), Some("nfs4"));
        assert_eq!(of("/home/a b/local/store.db"), Some("xfs"));
    }
}
