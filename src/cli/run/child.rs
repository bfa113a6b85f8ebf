//! The command as a child process: started so that it does not outlive us, told what we are told,
//! and waited for.
//!
//! It stays in our process group, so that it reads the terminal as if we were not there. On Linux
//! it is sent SIGTERM when we are killed: the kernel sends it, and a process can ask for it only
//! for itself. So what is started is this program once more, which asks, and then becomes the
//! command ([`become_command`]).

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::{ExitCode, ExitStatus};

use super::environment::Environment;
use crate::cli::failure::Failure;

/// A shell's codes.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
const SIGNALLED: u8 = 128;

/// How it ended, as an exit code: the command's own, 128+N where signal N ended it, 127 and 126
/// where it was not found or could not be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending(pub(super) u8);

/// A command that was started. Dropped, it is killed.
pub(super) struct Child(tokio::process::Child);

impl Child {
    /// Starts `arguments`, the first of which is looked for in `PATH`. To be called on the main
    /// thread: with the thread that started it, Linux takes the process for orphaned.
    ///
    /// # Errors
    ///
    /// What a shell would end with; the reason has been told on stderr.
    pub(super) fn start(arguments: &[OsString], environment: &Environment) -> Result<Self, Ending> {
        let mut command = command(arguments);
        environment.apply(&mut command);
        command.kill_on_drop(true);
        command.spawn().map(Self).map_err(|error| not_started(&arguments[0], error))
    }

    /// Waits for its end, and passes signals on meanwhile.
    pub(super) async fn ended(mut self, signals: &mut Signals) -> io::Result<Ending> {
        loop {
            tokio::select! {
                status = self.0.wait() => return Ok(Ending::of(status?)),
                signal = signals.next() => self.tell(signal),
            }
        }
    }

    #[cfg(unix)]
    fn tell(&self, signal: Signal) {
        use rustix::process::{Pid, kill_process};

        let pid = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|_| !signal.reaches_child_by_itself()) else { return };
        if let Err(error) = kill_process(pid, signal.0) {
            tracing::debug!("the signal could not be passed on: {error}");
        }
    }

    /// On Windows the console tells its processes itself.
    #[cfg(not(unix))]
    fn tell(&self, _: Signal) {}
}

impl Ending {
    fn of(status: ExitStatus) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::process::ExitStatusExt;
            if let Some(signal) = status.signal() {
                return Self(SIGNALLED.wrapping_add(signal as u8));
            }
        }
        // Only Windows has codes that do not fit; they are failures.
        Self(status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1)))
    }

    /// A signal that came while there was no command yet.
    #[cfg(unix)]
    pub(super) fn before_start(signal: Signal) -> Self {
        Self(SIGNALLED + signal.0.as_raw() as u8)
    }

    #[cfg(not(unix))]
    pub(super) fn before_start(_: Signal) -> Self {
        // STATUS_CONTROL_C_EXIT does not fit; this is what shells make of it.
        Self(SIGNALLED + 2)
    }
}

/// Tells on stderr why there is no command.
fn not_started(program: &OsStr, error: io::Error) -> Ending {
    let (code, hint) = match error.kind() {
        io::ErrorKind::NotFound => (NOT_FOUND, "check the spelling, and that it is in PATH"),
        _ => (NOT_EXECUTABLE, "it is there, but cannot be run; is it a program, and executable (chmod +x)?"),
    };
    eprintln!("{}", Failure::run_time(error).context(format!("cannot run {}", program.display())).hint(hint));
    Ending(code)
}

#[cfg(target_os = "linux")]
mod tied {
    use std::os::unix::process::CommandExt;

    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

    use super::*;

    /// The first argument of a child that is to become a command: its parent's id and the command
    /// follow. No subcommand has a name like it.
    const BECOME: &str = "run:become";

    pub(super) fn command(arguments: &[OsString]) -> tokio::process::Command {
        // Also where the file has been replaced since, by an upgrade or a build.
        let mut command = tokio::process::Command::new("/proc/self/exe");
        command.arg(BECOME).arg(std::process::id().to_string()).args(arguments);
        command
    }

    pub(in crate::cli) fn become_command() -> Option<ExitCode> {
        let mut arguments = std::env::args_os().skip(1);
        if arguments.next()? != BECOME {
            return None;
        }
        let parent = arguments.next()?.to_str()?.parse().ok()?;
        let program = arguments.next()?;
        if let Err(error) = set_parent_process_death_signal(Some(Signal::TERM)) {
            eprintln!("warning: the command may outlive a proxy that is killed: {error}");
        }
        // It may have been killed before it was asked for the signal.
        if getppid().map(Pid::as_raw_pid) != Some(parent) {
            return Some(ExitCode::from(SIGNALLED + Signal::TERM.as_raw() as u8));
        }
        let error = std::process::Command::new(&program).args(arguments).exec();
        Some(ExitCode::from(not_started(&program, error).0))
    }
}

#[cfg(not(target_os = "linux"))]
mod tied {
    use super::*;

    pub(super) fn command(arguments: &[OsString]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&arguments[0]);
        command.args(&arguments[1..]);
        command
    }

    pub(in crate::cli) fn become_command() -> Option<ExitCode> {
        None
    }
}

use self::tied::command;

/// Where this process was started by [`Child::start`]: becomes the command, and comes back only
/// with the exit code for why it could not.
pub(in crate::cli) use self::tied::become_command;

/// A signal that asks the command to do something.
#[cfg(unix)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Signal(rustix::process::Signal);

/// Ctrl-C.
#[cfg(not(unix))]
#[derive(Clone, Copy, Debug)]
pub(super) struct Signal;

/// The signals that are passed on.
#[cfg(unix)]
pub(super) struct Signals(Vec<(Signal, tokio::signal::unix::Signal)>);

#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(unix)]
impl Signals {
    /// Begins to listen. Signals that were ignored when we were started (by `nohup`, by a shell's
    /// `&`) stay ignored, here and in the command.
    pub(super) fn listen() -> Result<Self, Failure> {
        use rustix::process::Signal as S;
        use tokio::signal::unix::{SignalKind, signal};

        let ignored = ignored();
        let mut streams = Vec::new();
        for passed_on in [S::INT, S::TERM, S::HUP, S::QUIT, S::USR1, S::USR2] {
            let number = passed_on.as_raw();
            if ignored & (1 << (number - 1)) == 0 {
                let stream = signal(SignalKind::from_raw(number))
                    .map_err(|error| Failure::run_time(error).context("cannot listen for signals"))?;
                streams.push((Signal(passed_on), stream));
            }
        }
        Ok(Self(streams))
    }

    pub(super) async fn next(&mut self) -> Signal {
        use std::task::Poll;

        std::future::poll_fn(|cx| {
            // All are polled, so that each wakes us.
            let arrived = self
                .0
                .iter_mut()
                .find_map(|(signal, stream)| stream.poll_recv(cx).is_ready().then_some(*signal));
            arrived.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

#[cfg(not(unix))]
impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(super) async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal,
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(unix)]
impl Signal {
    /// What is typed at a terminal goes to its whole foreground group, the command included.
    /// Passing it on would tell the command twice, which many take for "at once".
    fn reaches_child_by_itself(self) -> bool {
        use rustix::process::{Signal as S, getpgrp};
        use rustix::termios::tcgetpgrp;

        matches!(self.0, S::INT | S::QUIT)
            && std::fs::File::open("/dev/tty")
                .ok()
                .and_then(|terminal| tcgetpgrp(terminal).ok())
                .is_some_and(|foreground| foreground == getpgrp())
    }
}

/// The set of signals that this process ignores, bit N-1 for signal N; empty where the platform
/// does not tell.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
