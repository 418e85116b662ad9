//! Which runs are asked for, and the query for them.

use penstock_engine::RunStatus;
use rusqlite::types::Value;

use crate::row;

/// Which runs are asked for; every part that is given must hold. Newest first, by pages: the number of the
/// last run seen is `before_run` of the next page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these statuses; any, if empty.
    pub statuses: Vec<RunStatus>,
    /// Of this workflow.
    pub workflow: Option<String>,
    /// Of this version.
    pub version: Option<String>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// With all of these tags.
    pub tags: Vec<(String, String)>,
    /// Accepted at this time or later.
    pub accepted_after_ns: Option<u64>,
    /// Accepted before this time.
    pub accepted_before_ns: Option<u64>,
    /// Accepted before this run, by its number.
    pub before_run: Option<u64>,
    /// At most this many; 0 for all.
    pub limit: usize,
}

impl Filter {
    /// The query and its parameters.
    pub(crate) fn sql(&self) -> (String, Vec<Value>) {
        let mut sql = format!("SELECT {} FROM ", row::COLUMNS);
        let mut parts = Vec::new();
        let mut parameters = Vec::new();
        let mut part = |text: &str, parameter: Value| {
            parameters.push(parameter);
            parts.push(text.replace('?', &format!("?{}", parameters.len())));
        };
        let mut tags = self.tags.iter();
        if let Some((key, value)) = tags.next() {
            // The first tag's index gives the runs in their order; the rest is looked up.
            sql.push_str("run_tags AS tag CROSS JOIN runs USING (run)");
            part("tag.key = ?", key.clone().into());
            part("tag.value = ?", value.clone().into());
        } else {
            sql.push_str("runs");
        }
        let time = |time_ns: u64| Value::from(time_ns.cast_signed());
        if let Some(run) = self.before_run {
            part("run < ?", time(run));
        }
        let texts =
            [("workflow", &self.workflow), ("version", &self.version), ("tenant", &self.tenant)];
        for (column, text) in texts {
            if let Some(text) = text {
                part(&format!("{column} = ?"), text.clone().into());
            }
        }
        if let Some(after) = self.accepted_after_ns {
            part("accepted_at >= ?", time(after));
        }
        if let Some(before) = self.accepted_before_ns {
            part("accepted_at < ?", time(before));
        }
        for (key, value) in tags {
            parameters.extend([Value::from(key.clone()), Value::from(value.clone())]);
            parts.push(format!(
                "EXISTS (SELECT 1 FROM run_tags AS other WHERE other.key = ?{} AND other.value = ?{} \
                 AND other.run = runs.run)",
                parameters.len() - 1,
                parameters.len()
            ));
        }
        parts.extend(self.status_part());
        if !parts.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&parts.join(" AND "));
        }
        sql.push_str(" ORDER BY run DESC");
        if self.limit > 0 {
            sql.push_str(" LIMIT ");
            sql.push_str(&self.limit.to_string());
        }
        (sql, parameters)
    }

    /// Statuses are written out, so that the partial indexes can be used.
    fn status_part(&self) -> Option<String> {
        use RunStatus::{Compensating, Held, Paused, Running};
        let mut part = match self.statuses.as_slice() {
            [] => return None,
            [one] => format!("status = '{}'", one.name()),
            many => {
                let names: Vec<_> =
                    many.iter().map(|status| format!("'{}'", status.name())).collect();
                format!("status IN ({})", names.join(", "))
            }
        };
        let going = |status: &RunStatus| matches!(status, Running | Paused | Compensating | Held);
        if self.statuses.iter().all(going) {
            part.push_str(" AND ended_at IS NULL");
        }
        Some(part)
    }
}
