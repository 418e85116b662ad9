//! A store that fails: what was handed over is kept and sent again, and nothing is acknowledged that is not
//! on disk.

mod harness;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::{ended, started};
use penstock_journal::{Batch, Command, Journal, Last, Line, Options, Store, StoreError};

const SOON: Duration = Duration::from_secs(20);

/// What one commit does.
#[derive(Clone, Debug)]
enum Fate {
    /// Nothing is written.
    Refused(StoreError),
    /// It is written, but the answer says otherwise.
    Unheard,
    /// It is written to a cache, and lost with the connection.
    Cached,
}

/// A disk, and what its next commits come to.
#[derive(Debug, Default)]
struct Disk {
    lines: BTreeMap<u64, Line>,
    cache: BTreeMap<u64, Line>,
    fates: VecDeque<Fate>,
    reopens: VecDeque<StoreError>,
    /// The next commit panics.
    is_defective: bool,
    /// Commands can't be read.
    is_deaf: bool,
    reopened: u32,
}

#[derive(Clone, Debug, Default)]
struct Double(Arc<Mutex<Disk>>);

impl Double {
    fn with(fates: impl IntoIterator<Item = Fate>) -> Self {
        let double = Self::default();
        double.disk().fates.extend(fates);
        double
    }

    fn disk(&self) -> std::sync::MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Store for Double {
    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        assert!(!self.disk().is_defective, "a defect");
        let mut disk = self.disk();
        let lines: Vec<_> =
            batch.lines.iter().map(|line| (line.record.lsn.0, line.clone())).collect();
        for (lsn, line) in &lines {
            assert!(disk.lines.get(lsn).is_none_or(|there| there == line), "another line {lsn}");
        }
        match disk.fates.pop_front() {
            None => disk.lines.extend(lines),
            Some(Fate::Refused(error)) => return Err(error),
            Some(Fate::Unheard) => {
                disk.lines.extend(lines);
                return Err(StoreError::Io("a sync failed".to_owned()));
            }
            Some(Fate::Cached) => {
                disk.cache.extend(lines);
                return Err(StoreError::Io("a sync failed".to_owned()));
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        let mut disk = self.disk();
        disk.reopened += 1;
        disk.cache.clear();
        disk.reopens.pop_front().map_or(Ok(()), Err)
    }

    fn last(&mut self) -> Result<Last, StoreError> {
        let disk = self.disk();
        let lsn = disk.lines.keys().chain(disk.cache.keys()).max().copied().unwrap_or(0);
        Ok(Last { lsn, ..Last::default() })
    }

    fn commands(&mut self) -> Result<Vec<Command>, StoreError> {
        if self.disk().is_deaf { Err(StoreError::Full) } else { Ok(Vec::new()) }
    }
}

fn journal(double: &Double, inline: bool) -> Journal {
    let options = Options { inline, ..Options::default() };
    Journal::with_store(Box::new(double.clone()), options).expect("a journal")
}

fn io(text: &str) -> Fate {
    Fate::Refused(StoreError::Io(text.to_owned()))
}

#[test]
fn after_every_failure_the_tail_is_sent_again() {
    let fates = [
        io("gone"),
        Fate::Refused(StoreError::Full),
        Fate::Unheard,
        Fate::Refused(StoreError::Busy),
        Fate::Cached,
    ];
    let double = Double::with(fates);
    double.disk().reopens.push_back(StoreError::Io("still gone".to_owned()));
    let journal = journal(&double, false);
    for run in 1..=100 {
        journal.submit(started(run));
        assert!(journal.synced() <= double.disk().lines.len() as u64);
    }
    assert!(journal.wait(200, SOON).expect("it lives"));
    assert_eq!((journal.failure(), journal.backlog(), journal.is_ahead()), (None, (0, 0), false));
    journal.close().expect("it closes");
    let disk = double.disk();
    assert_eq!(disk.lines.len(), 200);
    assert_eq!(disk.reopened, 5, "all but the busy one, and once more");
}

#[test]
fn while_the_disk_is_full_the_failure_says_so_and_then_it_goes_on() {
    let double = Double::with([Fate::Refused(StoreError::Full), Fate::Refused(StoreError::Full)]);
    let journal = journal(&double, true);
    journal.submit(started(1));
    let failure = journal.failure().expect("a failure");
    assert!(failure.contains("full") && failure.contains("free some"), "{failure}");
    assert_eq!((journal.synced(), journal.backlog().0, journal.is_ahead()), (0, 2, true));
    journal.submit(started(2));
    assert!(journal.failure().is_some());
    assert!(journal.flush(SOON).expect("inline"));
    assert_eq!((journal.failure(), journal.synced(), journal.backlog()), (None, 4, (0, 0)));
}

#[test]
fn a_store_that_lost_what_it_acknowledged_is_not_written_to_again() {
    let double = Double::default();
    let journal = journal(&double, true);
    journal.submit(started(1));
    assert_eq!(journal.synced(), 2);
    double.disk().lines.remove(&2);
    double.disk().fates.push_back(io("gone"));
    journal.submit(started(2));
    journal.submit(started(3));
    let failure = journal.failure().expect("a failure");
    assert!(failure.contains("journal lsn 2 to 2"), "{failure}");
    assert_eq!((journal.synced(), double.disk().lines.len()), (2, 1));
    assert!(journal.close().is_err());
}

#[test]
fn less_than_what_was_acknowledged_is_refused_at_once() {
    let double = Double::default();
    journal(&double, true).submit(started(1));
    let options = Options { acked_lsn: 5, ..Options::default() };
    let error = Journal::with_store(Box::new(double), options).expect_err("records are missing");
    assert!(matches!(&error, StoreError::Corrupt { place, .. } if place == "journal lsn 3 to 5"));
}

#[test]
fn closing_gives_up_after_a_while_and_says_why() {
    let double = Double::with(std::iter::repeat_n(Fate::Refused(StoreError::Full), 1_000));
    let options = Options { close_within: Duration::from_millis(200), ..Options::default() };
    let journal = Journal::with_store(Box::new(double), options).expect("a journal");
    journal.submit(started(1));
    let begun = Instant::now();
    assert_eq!(journal.close(), Err(StoreError::Full));
    assert!(begun.elapsed() < SOON);
}

#[test]
fn commands_that_can_not_be_read_are_a_failure_like_any() {
    // Closing such a store went round for ever: each new connection seemed to have healed it.
    for inline in [true, false] {
        let double = Double::default();
        double.disk().is_deaf = true;
        let journal = journal(&double, inline);
        journal.submit(started(1));
        let is_written = journal.wait(2, Duration::from_millis(200)).expect("it lives");
        assert!(!is_written && journal.failure().is_some_and(|failure| failure.contains("full")));
        double.disk().is_deaf = false;
        assert!(journal.wait(2, SOON).expect("it lives"));
        assert_eq!(journal.failure(), None);
        double.disk().is_deaf = true;
        journal.take_commands();
        assert!(journal.close().is_err() || !inline);
    }
}

#[test]
fn a_writer_that_died_is_a_failure_and_nobody_waits_for_it() {
    let double = Double::default();
    double.disk().is_defective = true;
    let journal = journal(&double, false);
    journal.submit(started(1));
    assert_eq!(journal.wait(2, SOON), Err(StoreError::Stopped));
    assert_eq!(journal.failure(), Some(StoreError::Stopped.to_string()));
    assert_eq!(journal.close(), Err(StoreError::Stopped));
}

#[test]
fn the_note_of_what_is_on_disk_comes_before_anybody_is_told() {
    let noted = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&noted);
    let options = Options {
        inline: true,
        on_synced: Some(Box::new(move |lsn| shared.lock().expect("free").push(lsn))),
        ..Options::default()
    };
    let journal = Journal::with_store(Box::new(Double::default()), options).expect("a journal");
    journal.submit(started(1));
    journal.submit(Batch { deleted: vec![7], ..Batch::default() });
    journal.submit(ended(1, 3, 2));
    assert_eq!(*noted.lock().expect("free"), [2, 3]);
}

#[cfg(target_os = "linux")]
#[test]
fn the_loop_is_woken_once_and_only_if_it_asked() {
    use std::io::{ErrorKind, Read};
    use std::os::unix::fs::OpenOptionsExt;

    const NONBLOCK: i32 = 0o4000;
    let journal = journal(&Double::default(), false);
    let path = format!("/proc/self/fd/{}", journal.wake_fd());
    let open = |flags| {
        let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(&path);
        file.expect("the pipe")
    };
    let mut byte = [0];
    let mut is_empty = || {
        let error = open(NONBLOCK).read(&mut byte).expect_err("nothing to read");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    };
    let write = |run| {
        journal.submit(started(run));
        assert!(journal.wait(2 * run, SOON).expect("it lives"));
    };
    write(1);
    is_empty();
    for run in 2..50 {
        journal.arm();
        write(run);
        write(run + 100);
        journal.disarm_and_drain();
        is_empty();
    }
    journal.arm();
    journal.submit(started(200));
    // Blocks until it is woken.
    open(0).read_exact(&mut [0]).expect("one byte");
}
