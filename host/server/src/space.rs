//! Watches the space on the store's disk, and reports to the driver while there is less than is to
//! be reserved. It decides nothing.

use std::{fmt, io, sync::Arc, time::Duration};

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use wasmgrid_proto::ByteCount;

use crate::{
    Blocking,
    driver::{Event, Shortage},
};

/// How often it looks: what is written meanwhile may come out of the reserve.
const EVERY: Duration = Duration::from_secs(1);

/// The space on a disk, and what of it is not for new work.
#[derive(Clone)]
pub struct Space {
    /// New work is refused while less than this is free, so that work in progress can commit.
    pub reserve: ByteCount,
    /// Says how many bytes are free. It may block.
    pub free: Arc<dyn Fn() -> io::Result<u64> + Send + Sync>,
}

impl Space {
    /// Reports until nobody listens.
    pub(crate) async fn watch(
        self,
        (blocking, tasks): (Blocking, TaskTracker),
        driver: mpsc::Sender<Event>,
    ) {
        let (mut short, mut failed) = (None, false);
        loop {
            let (free, mut now) = (self.free.clone(), short);
            match blocking.run(&tasks, move || free()).await {
                Some(Ok(free)) => {
                    (now, failed) = (self.shortage(free, short.is_some()), false);
                }
                Some(Err(error)) => {
                    if !failed {
                        tracing::warn!(%error, "failed to read the free space of the disk: new \
                             work is accepted until the disk is full");
                    }
                    (now, failed) = (None, true);
                }
                None => {}
            }
            if now != short && driver.send(Event::SpaceShort(now)).await.is_err() {
                return;
            }
            short = now;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// What is said of so much free space. Once it was short, an eighth of the reserve more must be
    /// free, so that it does not change with each commit.
    fn shortage(&self, free: u64, was_short: bool) -> Option<Shortage> {
        let reserve = self.reserve.0;
        let enough = if was_short { reserve.saturating_add(reserve / 8) } else { reserve };
        let (free, reserve) = (ByteCount(free), self.reserve);
        (free.0 < enough).then_some(Shortage { free, reserve })
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Space").field("reserve", &self.reserve).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_that_was_short_is_enough_again_with_an_eighth_more() {
        let space = Space { reserve: ByteCount(800), free: Arc::new(|| Ok(0)) };
        let is_short = |free, before| space.shortage(free, before).is_some();
        assert_eq!([799, 800].map(|free| is_short(free, false)), [true, false]);
        assert_eq!([899, 900].map(|free| is_short(free, true)), [true, false]);
        let none = Space { reserve: ByteCount(0), ..space };
        assert!(none.shortage(0, false).is_none(), "nothing is reserved");
    }
}
