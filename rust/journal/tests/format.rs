//! What is no store of this version is refused with a remedy and left as it is; what an older penstock of
//! this version wrote is read.

mod harness;

use std::path::Path;

use harness::{Folder, ended, every_kind, kinds_of_version_2, open, started};
use penstock_engine::Body;
use penstock_journal::{APPLICATION_ID, Journal, Line, Options, Reader, StoreError, VERSION};
use rusqlite::Connection;

fn refused(path: &Path) -> StoreError {
    let before = std::fs::read(path).ok();
    let reader = Reader::open(path).expect_err("it is refused");
    let owner = Journal::open(path, Options::default()).expect_err("it is refused");
    assert_eq!(reader, owner);
    assert_eq!(std::fs::read(path).ok(), before, "it was changed");
    owner
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    let folder = Folder::new();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "x".repeat(5_000)).expect("it is written");
    let path = std::fs::canonicalize(path).expect("it is there");
    assert_eq!(refused(&path), StoreError::NotAStore { path: path.clone() });
    let path = folder.path().join("other.db");
    Connection::open(&path)
        .and_then(|other| other.execute_batch("CREATE TABLE users(id INTEGER PRIMARY KEY)"))
        .expect("another database");
    let path = std::fs::canonicalize(path).expect("it is there");
    assert_eq!(refused(&path), StoreError::NotAStore { path: path.clone() });
}

#[test]
fn another_format_version_is_refused() {
    let folder = Folder::new();
    open(&folder.store()).close().expect("it closes");
    Connection::open(folder.store())
        .and_then(|store| store.pragma_update(None, "user_version", VERSION + 1))
        .expect("a newer store");
    let error = refused(&folder.store());
    assert_eq!(error, StoreError::Format { found: VERSION + 1 });
    assert!(error.to_string().contains("use the penstock that wrote it"), "{error}");
}

#[test]
fn a_missing_folder_or_file_is_named() {
    let folder = Folder::new();
    let path = folder.path().join("nowhere").join("runs.db");
    let error = Journal::open(&path, Options::default()).expect_err("it is missing");
    assert_eq!(error, StoreError::MissingFolder { path: folder.path().join("nowhere") });
    let error = Reader::open(&path).expect_err("it is missing");
    assert_eq!(error, StoreError::Missing { path });
}

#[test]
fn the_header_says_whose_file_it_is() {
    let folder = Folder::new();
    open(&folder.store()).close().expect("it closes");
    let bytes = std::fs::read(folder.store()).expect("it reads");
    assert_eq!(&bytes[68..72], b"PNST");
    assert_eq!(APPLICATION_ID.to_be_bytes()[4..], *b"PNST");
    assert_eq!(bytes[60..64], (VERSION as u32).to_be_bytes());
}

/// The store that `tests/golden/version-1.sql` was written from.
fn fill(journal: &Journal) {
    for run in 1..=3 {
        journal.submit(started(run));
    }
    let mut large = started(4);
    large.lines[1].payload = Some(format!("\"{}\"", "y".repeat(20_000)).into_bytes().into());
    large.lines[1].cmd = Some("c-1".into());
    journal.submit(large);
    journal.submit(ended(3, 9, 2));
    journal.submit(every_kind(5, 10));
}

/// It did not say how a run had ended that was tried again.
fn as_version_1_has_them(mut lines: Vec<Line>) -> Vec<Line> {
    for line in &mut lines {
        if let Body::Retried { was, .. } = &mut line.record.body {
            *was = None;
        }
    }
    lines
}

#[test]
fn a_store_of_version_1_is_still_read() {
    // The dump is SQL, so that it says what the format is; it holds what `fill` writes today.
    let folder = Folder::new();
    let dump = include_str!("golden/version-1.sql");
    Connection::open(folder.store())
        .and_then(|store| store.execute_batch(dump))
        .expect("the dump is loaded");
    let golden = Reader::open(&folder.store()).expect("a reader");
    assert_eq!(golden.verify(), Ok(vec![]));
    let other = Folder::new();
    let journal = open(&other.store());
    fill(&journal);
    journal.close().expect("it closes");
    let today = Reader::open(&other.store()).expect("a reader");
    for run in 1..=5 {
        let id = format!("run-{run}");
        assert_eq!(golden.run(&id), today.run(&id));
        assert_eq!(golden.lines(run), today.lines(run).map(as_version_1_has_them));
        assert!(golden.lines(run).is_ok_and(|lines| lines.len() > 1));
    }
    drop(golden);
    // And it is written on.
    let journal = open(&folder.store());
    assert_eq!((journal.last_lsn(), journal.last_run()), (47, 5));
    journal.submit(ended(4, 48, 2));
    assert!(journal.wait(48, std::time::Duration::from_secs(20)).expect("it lives"));
}

#[test]
fn a_store_of_version_2_is_still_read() {
    let folder = Folder::new();
    let dump = include_str!("golden/version-2.sql");
    Connection::open(folder.store())
        .and_then(|store| store.execute_batch(dump))
        .expect("the dump is loaded");
    let golden = Reader::open(&folder.store()).expect("a reader");
    assert_eq!(golden.verify(), Ok(vec![]));
    let other = Folder::new();
    let journal = open(&other.store());
    fill(&journal);
    journal.submit(kinds_of_version_2(6, 48));
    journal.close().expect("it closes");
    let today = Reader::open(&other.store()).expect("a reader");
    for run in 1..=6 {
        assert_eq!(golden.lines(run), today.lines(run));
    }
    assert_eq!(golden.metrics(0, u64::MAX), today.metrics(0, u64::MAX));
    assert_eq!(golden.metrics(0, u64::MAX).map(|rows| rows.len()), Ok(1));
    assert_eq!(golden.notes("baseline", Some("monday")), today.notes("baseline", None));
    let uncounted = golden.uncounted().expect("it reads");
    assert_eq!((uncounted.accepted.len(), uncounted.spent.len()), (0, 3));
    assert_eq!(uncounted.spent[2].3, None);
}

#[test]
fn a_store_of_version_1_becomes_one_of_this_version_when_it_is_opened() {
    let folder = Folder::new();
    let dump = include_str!("golden/version-1.sql");
    Connection::open(folder.store())
        .and_then(|store| store.execute_batch(dump))
        .expect("the dump is loaded");
    let before = Reader::open(&folder.store()).expect("a reader");
    assert_eq!(before.metrics(0, u64::MAX), Ok(vec![]));
    assert_eq!(before.notes("baseline", None), Ok(vec![]));
    drop(before);
    let journal = open(&folder.store());
    journal.submit(kinds_of_version_2(6, 48));
    journal.close().expect("it closes");
    let after = Reader::open(&folder.store()).expect("a reader");
    assert_eq!(after.verify(), Ok(vec![]));
    assert_eq!(after.metrics(0, u64::MAX).map(|rows| rows.len()), Ok(1));
}

/// Writes the golden file anew; for a new format version only.
#[test]
#[ignore = "writes the golden file"]
fn write_the_golden_file() {
    let folder = Folder::new();
    let journal = open(&folder.store());
    fill(&journal);
    journal.submit(kinds_of_version_2(6, 48));
    journal.close().expect("it closes");
    let store = Connection::open(folder.store()).expect("it opens");
    let mut dump =
        format!("PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {VERSION};\n");
    let mut tables = Vec::new();
    let mut schema = store
        .prepare("SELECT name, type, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
        .expect("it prepares");
    let mut rows = schema.query([]).expect("it runs");
    while let Some(row) = rows.next().expect("it reads") {
        let (name, kind, sql): (String, String, String) =
            (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap());
        dump += &[sql.as_str(), ";\n"].concat();
        if kind == "table" && name != "commands" {
            tables.push(name);
        }
    }
    for table in tables {
        let mut select = store.prepare(&format!("SELECT * FROM {table}")).expect("it prepares");
        let columns = select.column_count();
        let mut rows = select.query([]).expect("it runs");
        while let Some(row) = rows.next().expect("it reads") {
            let values: Vec<_> = (0..columns)
                .map(|at| match row.get_ref(at).expect("a value") {
                    rusqlite::types::ValueRef::Null => "NULL".to_owned(),
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    rusqlite::types::ValueRef::Text(text) => {
                        format!("'{}'", std::str::from_utf8(text).unwrap().replace('\'', "''"))
                    }
                    rusqlite::types::ValueRef::Blob(bytes) => {
                        let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                        format!("x'{}'", hex.concat())
                    }
                    rusqlite::types::ValueRef::Real(_) => unreachable!("no column is one"),
                })
                .collect();
            let values = values.join(", ");
            dump += &["INSERT INTO ", &table, " VALUES (", &values, ");\n"].concat();
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/version-2.sql");
    std::fs::write(path, dump).expect("it is written");
}

/// Runs as a user who may not write, in a process of its own: the superuser may write anywhere.
#[cfg(unix)]
#[test]
fn a_store_that_can_not_be_written_to_can_be_read() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    if let Some(path) = std::env::var_os("PENSTOCK_TEST_READ_ONLY") {
        let reader = Reader::open(Path::new(&path)).expect("it can be read");
        assert_eq!(reader.lines(1), Ok(started(1).lines));
        assert!(matches!(reader.verify().as_deref(), Ok([])));
        let command = penstock_journal::NewCommand {
            cmd: "c",
            run_id: "run-1",
            verb: "pause",
            args: "{}",
            actor: "ops",
            at_ns: 1,
        };
        let error = reader.command(&command).expect_err("it can't be written");
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
        let error = Journal::open(Path::new(&path), Options::default()).expect_err("no owner");
        assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
        return;
    }
    let folder = Folder::new();
    let journal = open(&folder.store());
    journal.submit(started(1));
    journal.close().expect("it closes");
    let restrict = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    restrict(&folder.store(), 0o444);
    restrict(folder.path(), 0o555);
    let mut child = std::process::Command::new(std::env::current_exe().expect("a binary"));
    child.args(["--exact", "a_store_that_can_not_be_written_to_can_be_read"]);
    child.env("PENSTOCK_TEST_READ_ONLY", folder.store());
    if std::fs::read("/proc/self/status").is_ok_and(|status| {
        String::from_utf8_lossy(&status).lines().any(|line| line.starts_with("Uid:\t0\t"))
    }) {
        child.uid(65_534);
    }
    let output = child.output();
    restrict(folder.path(), 0o755);
    // Where that user may not even start the binary, there is nothing to learn.
    if let Ok(output) = output {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
