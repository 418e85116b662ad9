//! Looks at everything in a store, and says what is wrong with it.

use std::collections::HashSet;

use penstock_engine::{Body, Durability};

use crate::checksum::Checksum;
use crate::error::StoreError;
use crate::line::Line;
use crate::reader::{Reader, dense, read_line};
use crate::row::{self, RunRow};

/// Problems reported; more are not worth reading.
const PROBLEMS_MAX: usize = 1_000;

impl Reader {
    /// Checks the file's structure, every checksum, and that no record is missing; gives the problems
    /// found. An error says that the check itself could not go on. O(store), in one state of it.
    pub fn verify(&self) -> Result<Vec<String>, StoreError> {
        let transaction = self.connection.unchecked_transaction()?;
        let mut problems = Problems(Vec::new());
        let mut statement = transaction.prepare("PRAGMA integrity_check")?;
        let mut rows = statement.query([])?;
        while let Some(row) = problems.next(&mut rows) {
            let text: String = row.get(0)?;
            if text != "ok" {
                problems.add(format!("the file: {text}"));
            }
        }
        drop(rows);
        let runs = self.verify_runs(&mut problems)?;
        self.verify_strays(&mut problems, &runs)?;
        self.verify_figures(&mut |error| problems.damage(error))?;
        Ok(problems.0)
    }

    /// Every run's row and records; gives the numbers of all runs.
    fn verify_runs(&self, problems: &mut Problems) -> Result<HashSet<u64>, StoreError> {
        let mut numbers = HashSet::new();
        let mut checksum = Checksum::default();
        let mut statement = self.connection.prepare(row::ALL)?;
        let mut rows = statement.query([])?;
        while let Some(found) = problems.next(&mut rows) {
            if let Ok(run) = found.get::<_, i64>(0) {
                numbers.insert(run.cast_unsigned());
            }
            match row::read_checked(found, &mut checksum) {
                Err(error) => problems.damage(&error),
                Ok(row) => {
                    let lines = self.verify_lines(problems, row.run)?;
                    if let Some(lines) = lines {
                        problems.extend(contradiction(&row, &lines));
                    }
                    self.verify_tags(problems, &row)?;
                }
            }
        }
        Ok(numbers)
    }

    /// A run's records, unless one of them is damaged.
    fn verify_lines(
        &self,
        problems: &mut Problems,
        run: u64,
    ) -> Result<Option<Vec<Line>>, StoreError> {
        let mut checksum = Checksum::default();
        let mut statement = self.connection.prepare_cached(
            "SELECT lsn, run, seq, at, kind, node, attempt, body, value, crc FROM journal
             WHERE run = ?1 ORDER BY lsn",
        )?;
        let mut rows = statement.query([run.cast_signed()])?;
        let mut lines = Vec::new();
        let mut whole = true;
        while let Some(row) = problems.next(&mut rows) {
            match read_line(row, &self.connection, &mut checksum) {
                Ok(line) => lines.push(line),
                Err(error) => {
                    whole = false;
                    problems.damage(&error);
                }
            }
        }
        Ok(whole.then_some(lines))
    }

    /// Whether the tags that a run is found by are those it has.
    fn verify_tags(&self, problems: &mut Problems, row: &RunRow) -> Result<(), StoreError> {
        let mut statement =
            self.connection.prepare_cached("SELECT key, value FROM run_tags WHERE run = ?1")?;
        let found = statement
            .query_map([row.run.cast_signed()], |tag| Ok((tag.get(0)?, tag.get(1)?)))?
            .collect::<Result<HashSet<(String, String)>, _>>()?;
        if found != row.tags.iter().cloned().collect() {
            problems.add(format!("run_tags run {}: they are not the tags in its row", row.run));
        }
        Ok(())
    }

    /// Rows that belong to no run.
    fn verify_strays(
        &self,
        problems: &mut Problems,
        runs: &HashSet<u64>,
    ) -> Result<(), StoreError> {
        let sources = [
            ("journal", "SELECT lsn, run FROM journal"),
            ("run_tags", "SELECT run, run FROM run_tags"),
            (
                "payloads",
                "SELECT lsn, coalesce((SELECT run FROM journal WHERE lsn = payloads.lsn), 0)
                 FROM payloads",
            ),
        ];
        for (table, sql) in sources {
            let mut statement = self.connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = problems.next(&mut rows) {
                let (place, run): (i64, i64) = (row.get(0)?, row.get(1)?);
                if !runs.contains(&run.cast_unsigned()) {
                    problems.add(format!("{table} {place}: there is no run {run}"));
                }
            }
        }
        Ok(())
    }
}

/// What a run's row says that its records do not.
fn contradiction(row: &RunRow, lines: &[Line]) -> Option<String> {
    if row.durability != Durability::Exit
        && let Err(error) = dense(row.run, lines)
    {
        return Some(Problems::text(&error));
    }
    let place = format!("runs run {}", row.run);
    match lines.first().map(|line| line.record.body) {
        Some(Body::Accepted { .. }) => None,
        Some(other) => Some(format!("{place}: its first record is `{}`", other.name())),
        None => Some(format!("{place}: it has no records")),
    }
}

/// What was found so far.
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, problem: String) {
        if self.0.len() < PROBLEMS_MAX {
            self.0.push(problem);
        }
    }

    fn extend(&mut self, problem: Option<String>) {
        if let Some(problem) = problem {
            self.add(problem);
        }
    }

    fn damage(&mut self, error: &StoreError) {
        self.add(Self::text(error));
    }

    fn text(error: &StoreError) -> String {
        match error {
            StoreError::Corrupt { place, why } => format!("{place}: {why}"),
            other => other.to_string(),
        }
    }

    /// The next row; damage that ends the reading of a table is a problem among others.
    fn next<'a>(&mut self, rows: &'a mut rusqlite::Rows<'_>) -> Option<&'a rusqlite::Row<'a>> {
        match rows.next() {
            Ok(row) => row,
            Err(error) => {
                self.damage(&error.into());
                None
            }
        }
    }
}
