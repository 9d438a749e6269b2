//! Promises of a worker whose machine cannot run tasks.

use wasmgrid_proto::{
    ByteCount,
    wire::{FromWorker, Part},
};
use wasmgrid_worker::sandbox::{Sandbox, SandboxConfig};

use crate::scheduler::{Scheduler, quick, spec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_cannot_run_tasks_says_so_on_each_link_and_gives_back_all_it_is_given() {
    let config = SandboxConfig { program: "/bin/false".into(), ..SandboxConfig::default() };
    let (sandbox, slots) = Sandbox::start(config).unwrap();
    sandbox.proven().await.unwrap_err();
    let (mut scheduler, worker) =
        Scheduler::with_sandbox(1, ByteCount(256 << 20), sandbox, slots).await;
    for first in [0, 3] {
        let FromWorker::Health(health) = scheduler.hear().await.message else {
            panic!("nothing of its health")
        };
        let unable = health.unable.expect("it cannot");
        assert_eq!(unable.part, Part::Runner);
        assert!(unable.reason.contains("exit code 1"), "{unable}");
        scheduler.assign(1, 1 + first, &spec(&quick()), first, 3).await;
        let gathered = scheduler.gather(3).await;
        assert_eq!(gathered.returned, [first, first + 1, first + 2], "{gathered:?}");
        scheduler.relink().await;
    }
    worker.stop().await;
}
