//! Reads and writes of a TCP socket: what the runtime's own do, with less around the system call.
//!
//! The C library lets a thread be cancelled in each of these calls, which takes two locked
//! instructions, and the runtime looks up more than has to be known where a socket is ready. A small
//! request makes four such calls. Where one has to be waited for, the runtime's own way is taken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop;

/// Reads what there is to the start of `buffer`; the number of bytes, 0 at the stream's end.
#[inline(always)]
pub fn poll_read(stream: &mut TcpStream, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    match ready!(in_turn(cx, || at_once::read(stream, buffer))) {
        Some(outcome) => Poll::Ready(outcome),
        None => poll_read_to(stream, cx, buffer),
    }
}

/// Writes as many of `bytes` as there is room for.
#[inline(always)]
pub fn poll_write(stream: &mut TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(in_turn(cx, || at_once::write(stream, bytes))) {
        Some(outcome) => Poll::Ready(outcome),
        None => wait_to_write(stream, cx, bytes),
    }
}

/// As in the runtime's own: a task that always finds something lets others have their turn.
#[inline(always)]
fn in_turn<T>(cx: &mut Context<'_>, attempt: impl FnOnce() -> Option<T>) -> Poll<Option<T>> {
    let turn = ready!(coop::poll_proceed(cx));
    let outcome = attempt();
    if outcome.is_some() {
        turn.made_progress();
    }
    Poll::Ready(outcome)
}

/// As [`poll_read`], from any stream and by its own means.
#[inline(never)]
pub fn poll_read_to(
    stream: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut read = ReadBuf::new(buffer);
    ready!(Pin::new(stream).poll_read(cx, &mut read))?;
    Poll::Ready(Ok(read.filled().len()))
}

#[inline(never)]
fn wait_to_write(stream: &mut TcpStream, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
    Pin::new(stream).poll_write(cx, bytes)
}

/// `None` throughout where it has to be waited for.
#[cfg(target_os = "linux")]
mod at_once {
    use std::io::{Error, ErrorKind, Result};

    use rustix::net::{RecvFlags, SendFlags, recv, send};
    use tokio::io::Interest;
    use tokio::net::TcpStream;

    #[inline(always)]
    pub(super) fn read(stream: &TcpStream, buffer: &mut [u8]) -> Option<Result<usize>> {
        let length = buffer.len();
        let call = || recv(stream, buffer, RecvFlags::empty()).map(|(_, count)| count);
        attempt(stream, Interest::READABLE, length, call)
    }

    #[inline(always)]
    pub(super) fn write(stream: &TcpStream, bytes: &[u8]) -> Option<Result<usize>> {
        attempt(stream, Interest::WRITABLE, bytes.len(), || send(stream, bytes, SendFlags::NOSIGNAL))
    }

    #[inline(always)]
    fn attempt(
        stream: &TcpStream,
        interest: Interest,
        length: usize,
        call: impl FnOnce() -> rustix::io::Result<usize>,
    ) -> Option<Result<usize>> {
        let mut moved = None;
        let outcome = stream.try_io(interest, || {
            let count = call()?;
            moved = Some(count);
            // Less than was asked for is all that there was, or is room for. The runtime is told so
            // and spares the next call, which would tell nothing else (epoll(7), edge-triggered).
            if (1..length).contains(&count) { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match moved {
            Some(count) => Some(Ok(count)),
            None => outcome.err().filter(is_final).map(Err),
        }
    }

    #[cold]
    fn is_final(error: &Error) -> bool {
        !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
    }
}

#[cfg(not(target_os = "linux"))]
mod at_once {
    use std::io::Result;

    use tokio::net::TcpStream;

    pub(super) fn read(_stream: &TcpStream, _buffer: &mut [u8]) -> Option<Result<usize>> {
        None
    }

    pub(super) fn write(_stream: &TcpStream, _bytes: &[u8]) -> Option<Result<usize>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, accepted) = tokio::join!(connecting, listener.accept());
        (ours.unwrap(), accepted.unwrap().0)
    }

    async fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| poll_read(stream, cx, buffer)).await
    }

    #[tokio::test]
    async fn what_comes_is_read_whenever_it_comes_and_the_end_is_told() {
        let (mut ours, mut theirs) = pair().await;
        let mut buffer = [0; 4];
        for round in 0..3_u8 {
            let sending = async {
                tokio::task::yield_now().await;
                theirs.write_all(&[round; 6]).await.unwrap();
            };
            let reading = async {
                let mut came = Vec::new();
                while came.len() < 6 {
                    let count = read(&mut ours, &mut buffer).await.unwrap();
                    came.extend_from_slice(&buffer[..count]);
                }
                assert_eq!(came, [round; 6]);
            };
            tokio::join!(sending, reading);
        }
        drop(theirs);
        assert_eq!(read(&mut ours, &mut buffer).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_reset_is_an_error_in_both_directions() {
        let (mut ours, theirs) = pair().await;
        theirs.set_zero_linger().unwrap();
        drop(theirs);
        let error = read(&mut ours, &mut [0; 4]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let error = poll_fn(|cx| poll_write(&mut ours, cx, b"x")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn all_is_written_to_a_peer_that_takes_it_slowly() {
        const ALL: usize = 16 << 20;
        let (mut ours, mut theirs) = pair().await;
        let bytes: Vec<u8> = (0..ALL).map(|at| (at % 251) as u8).collect();
        let writing = async {
            let (mut at, mut waits) = (0, 0);
            while at < bytes.len() {
                at += poll_fn(|cx| {
                    let outcome = poll_write(&mut ours, cx, &bytes[at..]);
                    waits += usize::from(outcome.is_pending());
                    outcome
                })
                .await
                .unwrap();
            }
            drop(ours);
            waits
        };
        let reading = async {
            let mut came = Vec::new();
            theirs.read_to_end(&mut came).await.unwrap();
            came
        };
        let (waits, came) = tokio::join!(writing, reading);
        assert!(came == bytes);
        assert!(waits > 0, "there was never no room");
    }

    #[tokio::test]
    async fn others_have_their_turn_while_there_is_always_something() {
        let (mut ours, mut theirs) = pair().await;
        theirs.write_all(&[7; 4096]).await.unwrap();
        ours.readable().await.unwrap();
        let mut turns = 0;
        let busy = async {
            for _ in 0..1024 {
                assert_eq!(read(&mut ours, &mut [0]).await.unwrap(), 1);
            }
        };
        let other = async {
            loop {
                tokio::task::yield_now().await;
                turns += 1;
            }
        };
        tokio::select! {
            biased;
            () = busy => {}
            () = other => {}
            () = tokio::time::sleep(Duration::from_secs(60)) => panic!("it never ends"),
        }
        assert!(turns > 0, "nobody else had a turn");
    }
}
