//! Figures of what an earlier process had recorded, and not counted: the books are again what records make of them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use penstock_engine::{Amount, Body, Ledger, Record, Run, RunEnd, TenantId, ValueId};
use penstock_journal::{Line, Reader, RunRow, StoreError, Uncounted};

use crate::again;
use crate::books::Resource;
use crate::recovery::folded;
use crate::state::State;

impl State {
    /// Counts what was recorded since figures were written last; gives how many runs could not be counted, as their
    /// workflow is not registered as it was.
    pub(crate) fn recount(&mut self, reader: &Reader) -> Result<usize, StoreError> {
        let Uncounted { accepted, ended, spent } = reader.uncounted()?;
        let mut rows: HashMap<u64, Option<RunRow>> = HashMap::new();
        let mut lost = 0;
        let mut row_of = |run: u64| -> Result<Option<RunRow>, StoreError> {
            if let Some(row) = rows.get(&run) {
                return Ok(row.clone());
            }
            let row = reader.by_number(run)?;
            rows.insert(run, row.clone());
            Ok(row)
        };
        for (run, at_ns) in accepted {
            let Some(row) = row_of(run)? else { continue };
            let (Some(plan), tenant) = (self.plan_like(&row), self.tenant_of(&row)) else {
                continue;
            };
            self.engine.recount_accepted(at_ns, plan, tenant);
        }
        for (run, at_ns, units, nanos, facts) in spent {
            let Some(row) = row_of(run)? else { continue };
            let (Some(plan), tenant) = (self.plan_like(&row), self.tenant_of(&row)) else {
                continue;
            };
            let resource = self.resources.id(Resource::of_facts(&facts));
            self.engine.recount_spent(at_ns, (plan, tenant), resource, &Amount::of(units, nanos));
        }
        for (run, lsn) in ended {
            let Some(row) = row_of(run)? else { continue };
            let Some(plan) = self.plan_like(&row) else {
                lost += 1;
                continue;
            };
            let mut lines = reader.lines(run)?;
            // As it was then: it may have been tried again, and be over a second time.
            lines.retain(|line| line.record.lsn.0 <= lsn);
            let Some(run) = self.fold_of(&row, &lines) else {
                lost += 1;
                continue;
            };
            let tenant = self.tenant_of(&row);
            let ended_ns = lines.iter().map(|line| line.record.at_ns).max().unwrap_or(0);
            self.engine.recount_ended((plan, tenant), &run, ended_ns);
            if self.engine.has_closed() {
                let rows = self.closed_rows(Some(&row));
                self.counted.recounted.extend(rows);
            }
        }
        Ok(lost)
    }

    fn tenant_of(&mut self, row: &RunRow) -> TenantId {
        let now_ns = self.engine.now_ns();
        row.tenant.as_ref().map_or(TenantId::NONE, |it| self.tenant_id(now_ns, it))
    }

    /// A run as its records leave it; None if they do not fit its graph.
    fn fold_of(&mut self, row: &RunRow, lines: &[Line]) -> Option<Run> {
        let plan = self.plan_like(row)?;
        let parts = self.plans[plan.0 as usize].clone();
        let holding = again::holding(&parts.plan, row, lines);
        let records: Vec<Record> = (0..)
            .zip(&*holding)
            .map(|(seq, line)| {
                let mut record = Record { seq, ..line.record };
                if let Body::Spent { resource, .. } = &mut record.body {
                    let facts = line.facts.as_deref().unwrap_or_default();
                    *resource = self.resources.id(Resource::of_facts(facts));
                }
                record
            })
            .collect();
        let inputs = vec![ValueId::NONE; parts.plan.input_count()];
        let fold = AssertUnwindSafe(|| folded(&parts.plan, row, &records, &inputs));
        catch_unwind(fold).ok()
    }

    /// How a run of the store has ended, as figures have it.
    pub(crate) fn end_of(&mut self, row: &RunRow, lines: &[Line]) -> Option<RunEnd> {
        self.fold_of(row, lines).map(|run| RunEnd::of(&run))
    }

    /// What a run of the store has spent.
    pub(crate) fn ledger_of(&mut self, row: &RunRow, lines: &[Line]) -> Option<Box<Ledger>> {
        let is_money = |line: &Line| {
            matches!(line.record.body, Body::Spent { .. } | Body::Denied { .. } | Body::Degraded)
        };
        if !lines.iter().any(is_money) {
            return None;
        }
        self.fold_of(row, lines)?.ledger().cloned().map(Box::new)
    }
}
