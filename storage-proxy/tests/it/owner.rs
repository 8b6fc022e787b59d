//! One storage-proxy per volume, whatever becomes of the one before.

use uuid::Uuid;
use vfolder_proto::storage::{CreateTree, run_task_request::Task};

use crate::proxy::{Proxy, serve};

// The client must hear of the end while the test waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_proxy_names_the_first_and_starts_once_that_was_killed() {
    let first = Proxy::start().await;
    let vfolder = first.create().await;
    let second = serve(first.dir.path()).wait_with_output().unwrap();
    assert!(!second.status.success());
    let words = String::from_utf8_lossy(&second.stderr).into_owned();
    let holder = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let holder = format!("process {} on {}", first.process.id(), holder.trim());
    assert!(words.contains(&holder), "{words}");

    let dir = first.kill();
    let second = Proxy::start_in(dir).await;
    assert!(second.tree(vfolder).exists());
    let task = Task::CreateTree(CreateTree {
        vfolder_id: Uuid::now_v7().to_string(),
    });
    let made = second.run(Uuid::now_v7(), task).await.unwrap();
    assert_eq!(made.failure, None);
}
