//! What proves that a worker was given a lease: a tag over all that the lease is, under a key that
//! no worker has. A scheduler that starts anew has no leases, and believes what is proved.

use core::fmt;

use wasmgrid_proto::{JobId, LeaseId, LeaseProof, LeaseTag, TaskRange, WorkerId};

/// What tags of leases are made with: random, the same for all terms of a grid, and told to nobody.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LeaseKey(pub [u8; 32]);

impl fmt::Debug for LeaseKey {
    /// Leaves it out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseKey")
    }
}

/// Bytes that are hashed at once: six numbers and any tenant's name. What streams costs more to set up
/// than to hash.
const MESSAGE_MAX: usize = 128;

/// Whose a lease is and what for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'a> {
    pub(crate) worker: WorkerId,
    pub(crate) job: JobId,
    pub(crate) tenant: &'a str,
    pub(crate) attempt: u32,
}

impl LeaseKey {
    /// The proof of a lease that is given. The term is in the lease's number.
    pub(crate) fn prove(&self, lease: LeaseId, tasks: TaskRange, given: Given<'_>) -> LeaseProof {
        LeaseProof { lease, tasks, tag: self.tag(lease, tasks, given) }
    }

    /// True where a lease was given so.
    pub(crate) fn proves(&self, proof: &LeaseProof, given: Given<'_>) -> bool {
        let LeaseTag(expected) = self.tag(proof.lease, proof.tasks, given);
        // The time it takes must not tell where the two differ.
        let differing = expected.iter().zip(proof.tag.0).fold(0, |all, (a, b)| all | (a ^ b));
        core::hint::black_box(differing) == 0
    }

    fn tag(&self, LeaseId(lease): LeaseId, tasks: TaskRange, given: Given<'_>) -> LeaseTag {
        let Given { worker: WorkerId(worker), job: JobId(job), tenant, attempt } = given;
        let numbers = [worker, job, lease, u64::from(attempt), tasks.first, tasks.count];
        // The tenant is last, so that its end needs no mark.
        let bytes = numbers.map(u64::to_le_bytes).into_iter().flatten().chain(tenant.bytes());
        let (mut message, mut length) = ([0; MESSAGE_MAX], 0);
        message.iter_mut().zip(bytes).for_each(|(place, byte)| {
            *place = byte;
            length += 1;
        });
        let hash = match message.get(..length) {
            Some(message) if length < MESSAGE_MAX => blake3::keyed_hash(&self.0, message),
            // A name that no certificate can have.
            _ => {
                let mut hasher = blake3::Hasher::new_keyed(&self.0);
                hasher.update(&message).update(tenant.as_bytes());
                hasher.finalize()
            }
        };
        LeaseTag(hash.as_bytes().first_chunk().copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    const KEY: LeaseKey = LeaseKey([7; 32]);

    fn given() -> Given<'static> {
        Given { worker: WorkerId(1), job: JobId(2), tenant: "ada", attempt: 1 }
    }

    #[test]
    fn a_proof_is_of_one_lease_of_one_worker_for_one_job_and_attempt_alone() {
        let tasks = TaskRange { first: 5, count: 9 };
        let proof = KEY.prove(LeaseId(3), tasks, given());
        assert!(KEY.proves(&proof, given()));
        let others = [
            Given { worker: WorkerId(2), ..given() },
            Given { job: JobId(3), ..given() },
            Given { tenant: "eve", ..given() },
            Given { tenant: "adam", ..given() },
            Given { attempt: 2, ..given() },
        ];
        assert!(others.iter().all(|other| !KEY.proves(&proof, *other)));
        let wider = TaskRange { first: 5, count: 10 };
        let earlier = TaskRange { first: 4, count: 9 };
        let changed = [
            LeaseProof { lease: LeaseId(4), ..proof },
            LeaseProof { tasks: wider, ..proof },
            LeaseProof { tasks: earlier, ..proof },
            LeaseProof { tag: LeaseTag([0; 16]), ..proof },
        ];
        assert!(changed.iter().all(|other| !KEY.proves(other, given())));
        assert!(!LeaseKey([8; 32]).proves(&proof, given()), "another grid's");
        let (long, longer) = ("a".repeat(100), "a".repeat(101));
        let proof = KEY.prove(LeaseId(3), tasks, Given { tenant: &long, ..given() });
        assert!(KEY.proves(&proof, Given { tenant: &long, ..given() }));
        assert!(!KEY.proves(&proof, Given { tenant: &longer, ..given() }));
    }

    #[test]
    fn neither_key_nor_tag_stands_in_a_log() {
        let proof = KEY.prove(LeaseId(3), TaskRange { first: 5, count: 9 }, given());
        let shown = format!("{KEY:?} {proof:?}");
        assert!(shown.starts_with("LeaseKey LeaseProof") && !shown.contains(", 7"), "{shown}");
    }
}
