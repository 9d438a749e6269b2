//! A late result beside the one that counts: whether they differ.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use wasmgrid_proto::{Digest, JobId, Outcome, ResultBlock, ResultMeta, Witness, WorkerId};

use super::{cache::Results, io::Event};

/// A result, and whose it is.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) worker: WorkerId,
    pub(super) attempt: u32,
    pub(super) meta: ResultMeta,
    pub(super) payload: Bytes,
}

/// What came of a comparison.
#[derive(Debug)]
pub struct Compared {
    /// The task's index.
    pub index: u64,
    /// True where the one that counts was found.
    pub found: bool,
    /// The one that counts and the late one, where they differ.
    pub differs: Option<(Witness, Witness)>,
}

/// Late results, each with the one that counts.
#[derive(Debug)]
pub struct Pairs {
    job: JobId,
    pairs: Vec<(Arc<Late>, Late)>,
}

/// A search for the results that late ones are compared with.
#[derive(Debug)]
pub(super) struct Comparison {
    sought: BTreeMap<u64, Arc<Late>>,
    compared: Vec<Compared>,
}

impl Late {
    pub(super) fn bytes(&self) -> usize {
        self.payload.len() + size_of::<Self>()
    }

    /// The bytes that must be the same wherever a pure task is run; its log is not looked at.
    fn returned(&self) -> &[u8] {
        let end = self.payload.len().saturating_sub(self.meta.log_len as usize);
        self.payload.get(..end).unwrap_or_default()
    }

    fn outcome(&self) -> Outcome {
        match &self.meta.outcome {
            Outcome::Trap { kind, .. } => Outcome::Trap { kind: *kind, backtrace: String::new() },
            other => other.clone(),
        }
    }

    fn witness(&self) -> Witness {
        let lengths = (self.outcome(), self.meta.output_len, &self.meta.record_lens);
        let mut bytes = postcard::to_allocvec(&lengths).unwrap_or_default();
        bytes.extend_from_slice(self.returned());
        Witness { worker: self.worker, attempt: self.attempt, digest: Digest::of(&bytes) }
    }
}

impl Pairs {
    /// Of results of this job.
    pub(super) const fn new(job: JobId, pairs: Vec<(Arc<Late>, Late)>) -> Self {
        Self { job, pairs }
    }

    /// Compares them, which may take long.
    #[must_use]
    pub fn compare(&self) -> Event {
        let compared = self.pairs.iter().map(|(late, committed)| compare(late, committed));
        Event::Compared { job: self.job, compared: compared.collect() }
    }
}

impl Comparison {
    /// A search for what is compared with these.
    pub(super) fn new(late: Vec<Arc<Late>>) -> Self {
        let sought = late.into_iter().map(|late| (late.meta.index, late)).collect();
        Self { sought, compared: Vec::new() }
    }

    /// Looks at a segment; false where nothing is sought any more.
    pub(super) fn look(&mut self, results: &Results) -> bool {
        let ResultBlock { worker, attempt, .. } = *results.block;
        let Ok(entries) = results.block.entries(&results.payload) else { return true };
        for (meta, payload) in entries {
            let Some(late) = self.sought.remove(&meta.index) else { continue };
            let committed = Late { worker, attempt, meta: meta.clone(), payload };
            self.compared.push(compare(&late, &committed));
        }
        !self.sought.is_empty()
    }

    pub(super) fn finish(mut self) -> Vec<Compared> {
        let missed = |index| Compared { index, found: false, differs: None };
        self.compared.extend(self.sought.into_keys().map(missed));
        self.compared
    }
}

/// Compares a late result with the one that counts.
fn compare(late: &Late, committed: &Late) -> Compared {
    let same = late.outcome() == committed.outcome()
        && late.meta.output_len == committed.meta.output_len
        && late.meta.record_lens == committed.meta.record_lens
        && late.returned() == committed.returned();
    let differ = !same && is_comparable(&committed.meta.outcome);
    let differs = differ.then(|| (committed.witness(), late.witness()));
    Compared { index: late.meta.index, found: true, differs }
}

/// Whether a pure task ends so wherever it is run. What a worker refuses depends on its operator.
pub(super) fn is_comparable(outcome: &Outcome) -> bool {
    outcome.is_deterministic() && !matches!(outcome, Outcome::Refused(_))
}
