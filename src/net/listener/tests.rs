use super::*;

fn any_port() -> Listen {
    Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))
}

#[tokio::test]
async fn a_second_listener_on_the_port_is_told_so() {
    let first = Listener::bind(&any_port()).unwrap();
    let taken = first.local_addr().unwrap();
    assert!(matches!(&taken, Listen::Tcp(address) if address.port() != 0));
    let error = Listener::bind(&taken).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains("another process already listens on 127.0.0.1:"), "{error}");
}

#[tokio::test]
async fn holds_no_more_connections_than_it_may() {
    let mut listener = Listener::bind(&any_port()).unwrap();
    listener.permits = Arc::new(Semaphore::new(1));
    let Listen::Tcp(address) = listener.local_addr().unwrap() else { panic!("not TCP") };
    let _one = tokio::net::TcpStream::connect(address).await.unwrap();
    let _two = tokio::net::TcpStream::connect(address).await.unwrap();
    let first = listener.accept().await;
    let mut second = std::pin::pin!(listener.accept());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..10 {
        tokio::task::yield_now().await;
        assert!(Future::poll(second.as_mut(), &mut cx).is_pending());
    }
    drop(first);
    second.await;
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &std::path::Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_socket_is_private_and_goes_with_its_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("proxy.sock");
        let listen = Listen::Unix(path.clone());
        let listener = Listener::bind(&listen).unwrap();
        assert_eq!(listener.local_addr().unwrap(), listen);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left behind");

        let client = tokio::net::UnixStream::connect(&path).await.unwrap();
        let (transport, _permit) = listener.accept().await.into_transport().unwrap();
        assert!(matches!(transport, Transport::Unix(_)));
        drop(client);

        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("proxy.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a listener of the standard library leaves its file");

        let listener = Listener::bind(&Listen::Unix(path.clone())).unwrap();
        let error = Listener::bind(&Listen::Unix(path.clone())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(listener);

        std::fs::write(&path, "not a socket").unwrap();
        let error = Listener::bind(&Listen::Unix(path.clone())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "not a socket");
    }
}

/// Runs in a process of its own, since the limit is the whole process's.
#[cfg(unix)]
#[test]
fn running_out_of_files_is_a_pause_and_not_the_end() {
    const CHILD: &str = "TEST_RUNS_OUT_OF_FILES";
    if std::env::var_os(CHILD).is_some() {
        return run_out_of_files();
    }
    let name = "net::listener::tests::running_out_of_files_is_a_pause_and_not_the_end";
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("recovered"), "{output}");
}

#[cfg(unix)]
fn run_out_of_files() {
    use std::future::poll_fn;
    use std::os::fd::AsRawFd;
    use std::task::Poll;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use rustix::time::{ClockId, clock_gettime};

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = Listener::bind(&any_port()).unwrap();
        let Listen::Tcp(address) = listener.local_addr().unwrap() else { panic!("not TCP") };
        let mut clients: Vec<_> = (0..4).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        // The lowest free number is above all that are open.
        let probe = std::fs::File::open("/dev/null").unwrap();
        let limit = u64::try_from(probe.as_raw_fd()).unwrap();
        drop(probe);
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum: before.maximum }).unwrap();

        let mut accept = std::pin::pin!(listener.accept());
        let spent = || clock_gettime(ClockId::ProcessCPUTime);
        let (start, started) = (std::time::Instant::now(), spent());
        while start.elapsed() < Duration::from_millis(500) {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let pending = poll_fn(|cx| Poll::Ready(accept.as_mut().poll(cx).is_pending())).await;
            assert!(pending, "there was no file to accept with");
        }
        let used = spent() - started;
        let used = Duration::new(u64::try_from(used.tv_sec).unwrap(), u32::try_from(used.tv_nsec).unwrap());
        assert!(used < Duration::from_millis(200), "the loop span: {used:?} of processor time");

        clients.truncate(1);
        let accepted = tokio::time::timeout(Duration::from_secs(10), accept).await;
        assert!(accepted.is_ok(), "it did not recover");
        println!("recovered");
    });
}
