//! The thread that writes log lines.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Bytes that may wait for a slow reader before further lines are dropped.
const WAITING: usize = 4 * 1024 * 1024;

/// How long the end of the process waits for a reader that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// Hands text to a thread that writes it. Never blocks.
#[derive(Clone, Debug)]
pub struct Sink {
    messages: Sender<Message>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Lines(Vec<u8>),
    Flush(Sender<()>),
}

impl Sink {
    /// Starts the thread. It ends when no clone of the sink is left.
    pub fn start(out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (messages, receiver) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&waiting);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || run(receiver, out, &counted))?;
        Ok(Self { messages, waiting, dropped: Arc::default() })
    }

    /// Queues whole lines, or drops them where too much is waiting.
    pub fn write(&self, lines: &[u8]) {
        if self.waiting.fetch_add(lines.len(), Ordering::Relaxed) > WAITING {
            self.waiting.fetch_sub(lines.len(), Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.messages.send(Message::Lines(lines.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was queued is written, but not forever.
    pub fn flush(&self) {
        let (done, written) = channel();
        if self.messages.send(Message::Flush(done)).is_ok() {
            // A reader that has stalled for this long gets no more.
            let _ = written.recv_timeout(PATIENCE);
        }
    }

    /// Writes that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

fn run(messages: Receiver<Message>, mut out: impl Write, waiting: &AtomicUsize) {
    let mut buffer = Vec::new();
    while let Ok(first) = messages.recv() {
        let mut flushed = Vec::new();
        for message in std::iter::once(first).chain(messages.try_iter()) {
            match message {
                Message::Lines(lines) => buffer.extend_from_slice(&lines),
                Message::Flush(done) => flushed.push(done),
            }
            if buffer.len() >= 256 * 1024 {
                write(&mut out, &mut buffer, waiting);
            }
        }
        write(&mut out, &mut buffer, waiting);
        // Whoever asked may have lost patience.
        flushed.into_iter().for_each(|done| {
            let _ = done.send(());
        });
    }
}

fn write(out: &mut impl Write, buffer: &mut Vec<u8>, waiting: &AtomicUsize) {
    // There is nowhere to tell that stderr is closed, and no reason to stop serving.
    let _ = out.write_all(buffer).and_then(|()| out.flush());
    waiting.fetch_sub(buffer.len(), Ordering::Relaxed);
    buffer.clear();
    buffer.shrink_to(512 * 1024);
}
