//! Every kind of job with its handler and limits, and every schedule.

use std::time::Duration;

use chrono::TimeDelta;
use domain::jobs::{
    self, DeleteAccount, DeleteDueAccounts, RotateSigningKeys, RunImport, SendAccountNotice, SendSignInLink,
    Sweep,
};

use crate::job::Kind;
use crate::schedule::Schedule;

/// Every kind of job.
#[must_use]
pub fn kinds() -> Vec<Kind> {
    let seconds = Duration::from_secs;
    vec![
        Kind::of::<SendSignInLink>().concurrency(8).time_out(seconds(60)),
        Kind::of::<SendAccountNotice>()
            .concurrency(8)
            .time_out(seconds(60)),
        // Each holds a connection and its owner's lock; a time-out only cuts it short, the next attempt goes on.
        Kind::of::<RunImport>().concurrency(2).time_out(seconds(30 * 60)),
        Kind::of::<DeleteDueAccounts>().time_out(seconds(60)),
        // Many short transactions; a time-out only cuts it short, the next attempt goes on.
        Kind::of::<DeleteAccount>().time_out(seconds(30 * 60)),
        Kind::of::<Sweep>().time_out(seconds(10 * 60)),
        Kind::of::<RotateSigningKeys>(),
    ]
}

/// Every schedule.
pub const SCHEDULES: &[Schedule] = &[
    Schedule::new("sweep", TimeDelta::hours(1), |tx, key| {
        Box::pin(jobs::enqueue(tx, &Sweep {}, key))
    }),
    Schedule::new("delete-due-accounts", TimeDelta::hours(1), |tx, key| {
        Box::pin(jobs::enqueue(tx, &DeleteDueAccounts {}, key))
    }),
    Schedule::new("rotate-signing-keys", TimeDelta::hours(1), |tx, key| {
        Box::pin(jobs::enqueue(tx, &RotateSigningKeys {}, key))
    }),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::silence_of_the_dead;

    #[test]
    fn every_kind_of_job_has_one_handler() {
        let names: Vec<&str> = kinds().iter().map(|kind| kind.name).collect();
        assert_eq!(names, domain::jobs::KINDS);
    }

    #[test]
    fn no_batch_keeps_a_worker_silent_for_so_long_that_it_is_taken_for_dead() {
        for kind in kinds() {
            assert!(kind.longest_silence() < silence_of_the_dead(), "{}", kind.name);
        }
    }
}
