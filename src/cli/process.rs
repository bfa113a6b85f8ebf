//! What every long-running command does to its process: no core dumps, panics in the log, signals,
//! a runtime.

use std::future::Future;

use tokio::runtime::Runtime;

use super::failure::Failure;

/// Keeps keys and tokens out of core dumps and other processes' reach (Linux), and sees to it that
/// a panic, which ends one connection or task alone, is told in the log and by its rules of what
/// may not stand there. What cannot be done is logged and lived with: a container may forbid it.
pub(super) fn harden() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!("this is a bug, please report it; what was being done is given up: {panic}");
    }));
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
            tracing::debug!("core dumps cannot be turned off: {error}");
        }
    }
    undumpable();
    small_pages();
}

/// Huge pages would make every corner of the heap that is touched cost 2 MiB of memory, where the
/// machine gives them unasked (`transparent_hugepage/enabled` is `always`); what they save in
/// address translation is not to be measured here.
fn small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!("huge pages cannot be turned off: {error}");
    }
}

/// As [`harden`], without what a child would inherit: how it dumps core is its own affair. On
/// Linux this is as good.
pub(super) fn undumpable() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::debug!("process memory cannot be made undumpable: {error}");
        }
    }
}

/// The control runtime. One thread is enough: requests are carried by threads of their own, and
/// what blocks runs on the blocking pool.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::run_time(error).context("cannot start the runtime"))
}

/// Ready at the first and at the second signal that asks the process to end.
pub(super) fn signals() -> Result<(impl Future<Output = ()>, impl Future<Output = ()>), Failure> {
    let (sender, receiver) = tokio::sync::watch::channel(0_u32);
    let mut stream = Signals::new()?;
    tokio::spawn(async move {
        loop {
            let name = stream.next().await;
            sender.send_modify(|count| *count += 1);
            let count = *sender.borrow();
            match count {
                1 => tracing::info!("{name}: finishing what is under way; once more to end at once"),
                _ => tracing::warn!("{name} again: ending at once"),
            }
        }
    });
    let (mut first, mut second) = (receiver.clone(), receiver);
    let first = async move {
        // The sender lives as long as the runtime.
        let _ = first.wait_for(|count| *count >= 1).await;
    };
    let second = async move {
        let _ = second.wait_for(|count| *count >= 2).await;
    };
    Ok((first, second))
}

struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::run_time(error).context("cannot listen for signals"))
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    #[cfg(not(unix))]
    fn new() -> Result<Self, Failure> {
        Ok(Self {})
    }

    #[cfg(unix)]
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            Err(_) => std::future::pending().await,
        }
    }
}
