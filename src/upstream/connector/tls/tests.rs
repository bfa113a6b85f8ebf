use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream as ServerStream;

use super::*;

type Server = ServerStream<TcpStream>;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// A server's TLS for `localhost`, and its certificate.
fn server(version: &'static SupportedProtocolVersion) -> (TlsAcceptor, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), certificate)
}

fn client(trusted: Option<CertificateDer<'static>>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let other = server(&rustls::version::TLS13).1;
    roots.add(trusted.unwrap_or(other)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (ours.unwrap(), theirs.unwrap().0)
}

async fn pair(version: &'static SupportedProtocolVersion) -> (TlsStream, Server) {
    let (acceptor, certificate) = server(version);
    let (ours, theirs) = sockets().await;
    let connecting = TlsStream::connect(client(Some(certificate)), name(), ours);
    let (ours, theirs) = tokio::join!(connecting, acceptor.accept(theirs));
    (ours.unwrap(), theirs.unwrap())
}

fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

fn of_rustls(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("it hangs")
}

#[tokio::test]
async fn much_goes_both_ways_at_once_in_pieces_of_any_size() {
    for version in VERSIONS {
        let (ours, theirs) = pair(version).await;
        assert_eq!(ours.protocol_version(), Some(version.version));
        let all = bytes(3 << 20);
        let (mut from_us, mut to_us) = tokio::io::split(ours);
        let (mut from_them, mut to_them) = tokio::io::split(theirs);
        let work = async {
            tokio::join!(
                async {
                    let mut sizes = [1, 70_000, 16_384, 300, 5_000].into_iter().cycle();
                    let mut rest = &all[..];
                    while !rest.is_empty() {
                        let (now, later) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                        to_us.write_all(now).await.unwrap();
                        rest = later;
                    }
                    to_us.shutdown().await.unwrap();
                },
                async {
                    to_them.write_all(&all).await.unwrap();
                    to_them.shutdown().await.unwrap();
                },
                async {
                    let mut sizes = [1, 20_000, 100, 16_384].into_iter().cycle();
                    let mut came = Vec::new();
                    loop {
                        let mut buffer = vec![0; sizes.next().unwrap()];
                        match from_us.read(&mut buffer).await.unwrap() {
                            0 => break,
                            count => came.extend_from_slice(&buffer[..count]),
                        }
                    }
                    assert!(came == all, "what came is not what was sent");
                },
                async {
                    let mut came = Vec::new();
                    from_them.read_to_end(&mut came).await.unwrap();
                    assert!(came == all, "what went is not what was written");
                },
            )
        };
        in_time(work).await;
    }
}

/// Passes on what comes in pieces of `size` bytes.
async fn cut(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, size: usize) {
    let mut buffer = vec![0; size];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..count]).await.is_err() || to.flush().await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let _ = to.shutdown().await;
}

#[tokio::test]
async fn records_may_come_cut_anywhere() {
    for version in VERSIONS {
        let (acceptor, certificate) = server(version);
        for size in [1, 7, 1000] {
            let (ours, near) = sockets().await;
            near.set_nodelay(true).unwrap();
            let (far, theirs): (DuplexStream, DuplexStream) = tokio::io::duplex(1 << 16);
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = tokio::io::split(far);
            let all = bytes(if size == 1 { 3_000 } else { 60_000 });
            let work = async {
                let client = async {
                    let mut ours =
                        TlsStream::connect(client(Some(certificate.clone())), name(), ours).await.unwrap();
                    ours.write_all(&all).await.unwrap();
                    ours.flush().await.unwrap();
                    let mut came = vec![0; all.len()];
                    ours.read_exact(&mut came).await.unwrap();
                    assert!(came == all);
                    ours.shutdown().await.unwrap();
                    assert_eq!(ours.read(&mut came).await.unwrap(), 0);
                };
                let server = async {
                    let mut theirs = acceptor.accept(theirs).await.unwrap();
                    let mut came = vec![0; all.len()];
                    theirs.read_exact(&mut came).await.unwrap();
                    theirs.write_all(&came).await.unwrap();
                    theirs.shutdown().await.unwrap();
                    let _ = theirs.read_to_end(&mut came).await;
                };
                tokio::join!(client, server, cut(near_read, far_write, size), cut(far_read, near_write, size))
            };
            in_time(work).await;
        }
    }
}

#[tokio::test]
async fn pieces_of_any_size_are_written_in_their_order() {
    for version in VERSIONS {
        let (mut ours, mut theirs) = pair(version).await;
        let work = async {
            for sizes in [
                &[][..],
                &[0],
                &[5, 0, 9],
                &[9, 16_384, 9, 9],
                &[4_000, 4_000, 5_000, 1],
                &[70_000, 9],
                &[9, 65_530, 9],
            ] {
                let pieces: Vec<Vec<u8>> = sizes.iter().map(|size| bytes(*size)).collect();
                let slices: Vec<io::IoSlice<'_>> =
                    pieces.iter().map(|piece| io::IoSlice::new(piece)).collect();
                let written = ours.write_vectored(&slices).await.unwrap();
                ours.flush().await.unwrap();
                let all = pieces.concat();
                assert_eq!(written, all.len().min(MAX_WRITE), "{sizes:?}");
                let mut came = vec![0; written];
                theirs.read_exact(&mut came).await.unwrap();
                assert!(came == all[..written], "{sizes:?}");
            }
        };
        in_time(work).await;
    }
}

#[tokio::test]
async fn new_keys_are_taken_and_answered() {
    let (mut ours, mut theirs) = pair(&rustls::version::TLS13).await;
    let work = async {
        for round in 0..5_u8 {
            let session: &mut ServerConnection = theirs.get_mut().1;
            session.refresh_traffic_keys().unwrap();
            theirs.write_all(&[round; 40_000]).await.unwrap();
            theirs.flush().await.unwrap();
            let mut came = vec![0; 40_000];
            ours.read_exact(&mut came).await.unwrap();
            assert!(came == [round; 40_000]);
            ours.write_all(&[round; 20_000]).await.unwrap();
            ours.flush().await.unwrap();
            theirs.read_exact(&mut came[..20_000]).await.unwrap();
        }
    };
    in_time(work).await;
}

#[tokio::test]
async fn what_came_ahead_of_a_goodbye_is_read_after_a_write() {
    for version in VERSIONS {
        let (mut ours, mut theirs) = pair(version).await;
        let work = async {
            theirs.write_all(&bytes(50_000)).await.unwrap();
            theirs.shutdown().await.unwrap();
            // All of it is there, and is decrypted on the way to what is written.
            while poll_fn(|cx| ours.poll_receive(cx)).await.is_ok() {}
            ours.write_all(b"still here").await.unwrap();
            ours.flush().await.unwrap();
            let mut came = Vec::new();
            ours.read_to_end(&mut came).await.unwrap();
            assert!(came == bytes(50_000));
            let mut heard = [0; 10];
            theirs.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"still here");
            ours.shutdown().await.unwrap();
            assert_eq!(theirs.read(&mut heard).await.unwrap(), 0);
        };
        in_time(work).await;
    }
}

#[tokio::test]
async fn an_end_without_a_goodbye_is_told_from_one_with_it() {
    for version in VERSIONS {
        let (mut ours, mut theirs) = pair(version).await;
        theirs.write_all(b"part").await.unwrap();
        theirs.flush().await.unwrap();
        drop(theirs);
        let mut came = [0; 4];
        in_time(ours.read_exact(&mut came)).await.unwrap();
        let error = in_time(ours.read(&mut came)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[tokio::test]
async fn a_record_that_was_touched_is_an_error_and_the_server_is_told() {
    for version in VERSIONS {
        let (mut ours, mut theirs) = pair(version).await;
        theirs.write_all(b"whole").await.unwrap();
        theirs.flush().await.unwrap();
        let mut came = [0; 5];
        in_time(ours.read_exact(&mut came)).await.unwrap();
        // Past TLS, as somebody between the two might.
        theirs.get_mut().0.write_all(&[23, 3, 3, 0, 32]).await.unwrap();
        theirs.get_mut().0.write_all(&[0; 32]).await.unwrap();
        let error = in_time(ours.read(&mut came)).await.unwrap_err();
        let inner = of_rustls(&error);
        assert!(matches!(inner, Some(rustls::Error::DecryptError)), "{error:?}");
        let told = in_time(theirs.read(&mut came)).await.unwrap_err();
        let told = of_rustls(&told);
        assert!(matches!(told, Some(rustls::Error::AlertReceived(_))), "{told:?}");
        // It stays broken.
        in_time(ours.read(&mut came)).await.unwrap_err();
        in_time(ours.write(b"more")).await.unwrap_err();
    }
}

/// Passes on what comes, but for one bit of the byte at `place`.
async fn touch(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, place: usize) {
    let (mut buffer, mut passed) = (vec![0; 4096], 0);
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if let Some(byte) = place.checked_sub(passed).and_then(|at| buffer[..count].get_mut(at)) {
            *byte ^= 4;
        }
        passed += count;
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

#[tokio::test]
async fn nothing_that_was_touched_on_the_way_passes() {
    for version in VERSIONS {
        let (acceptor, certificate) = server(version);
        let config = client(Some(certificate));
        for place in (0..1500).step_by(7) {
            let (ours, near) = sockets().await;
            let (far, theirs) = tokio::io::duplex(1 << 16);
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = tokio::io::split(far);
            let config = config.clone();
            let client = async move {
                let mut ours = TlsStream::connect(config, name(), ours).await?;
                let mut came = Vec::new();
                ours.read_to_end(&mut came).await?;
                let _ = ours.shutdown().await;
                io::Result::Ok(came)
            };
            let server = async {
                let Ok(mut theirs) = acceptor.accept(theirs).await else { return };
                let _ = theirs.write_all(&bytes(1000)).await;
                let _ = theirs.shutdown().await;
                let _ = theirs.read(&mut [0]).await;
            };
            let passing = cut(near_read, far_write, 4096);
            let work = async { tokio::join!(client, server, passing, touch(far_read, near_write, place)) };
            // What TLS does not protect are the versions in the headers of records; and where a length
            // was touched, more is waited for, which is for others to end.
            if let Ok((Ok(came), ..)) = tokio::time::timeout(Duration::from_millis(500), work).await {
                assert!(came == bytes(1000), "{place}");
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_refused_with_an_alert() {
    let (acceptor, _) = server(&rustls::version::TLS13);
    let (ours, theirs) = sockets().await;
    let connecting = TlsStream::connect(client(None), name(), ours);
    let (refused, told) = in_time(async { tokio::join!(connecting, acceptor.accept(theirs)) }).await;
    let refused = refused.unwrap_err();
    let inner = of_rustls(&refused);
    assert!(matches!(inner, Some(rustls::Error::InvalidCertificate(_))), "{refused:?}");
    let told = match told {
        Err(error) => error,
        Ok(mut stream) => in_time(stream.read(&mut [0])).await.unwrap_err(),
    };
    let told = of_rustls(&told);
    assert!(matches!(told, Some(rustls::Error::AlertReceived(_))), "{told:?}");
}

#[tokio::test]
async fn what_is_no_tls_is_an_error() {
    let (ours, mut theirs) = sockets().await;
    theirs.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let error = in_time(TlsStream::connect(client(None), name(), ours)).await.unwrap_err();
    let inner = of_rustls(&error);
    assert!(matches!(inner, Some(rustls::Error::InvalidMessage(_))), "{error:?}");
    let (ours, theirs) = sockets().await;
    drop(theirs);
    in_time(TlsStream::connect(client(None), name(), ours)).await.unwrap_err();
}

#[tokio::test]
async fn a_server_that_reads_nothing_makes_a_writer_wait_with_bounded_memory() {
    let (mut ours, mut theirs) = pair(&rustls::version::TLS13).await;
    let chunk = bytes(MAX_WRITE);
    let mut written = 0;
    while let Ok(count) = tokio::time::timeout(Duration::from_millis(200), ours.write(&chunk)).await {
        written += count.unwrap();
        assert!(ours.outgoing.held() <= MAX_WRITE + RECORDS_ADD);
        assert!(written < 64 << 20, "it never waits");
    }
    let flushing = async {
        ours.flush().await.unwrap();
        ours.shutdown().await.unwrap();
    };
    let reading = async {
        let mut came = Vec::new();
        theirs.read_to_end(&mut came).await.unwrap();
        came.len()
    };
    let ((), came) = in_time(async { tokio::join!(flushing, reading) }).await;
    assert_eq!(came, written);
}

#[tokio::test]
async fn whoever_waits_for_room_is_told_of_it_though_another_reads() {
    #[derive(Default)]
    struct Flag(AtomicBool);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (mut ours, mut theirs) = pair(&rustls::version::TLS13).await;
    let writer = Arc::new(Flag::default());
    let waiting = async {
        let chunk = bytes(MAX_WRITE);
        let waker = Waker::from(Arc::clone(&writer));
        while Pin::new(&mut ours).poll_write(&mut Context::from_waker(&waker), &chunk).is_ready() {}
        let mut read = [0; 10];
        let mut read = ReadBuf::new(&mut read);
        let reader = &mut Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut ours).poll_read(reader, &mut read).is_pending());
    };
    // Else it is told to wait because it has had its turn.
    tokio::task::unconstrained(waiting).await;
    let mut came = vec![0; MAX_WRITE];
    let told = async {
        while !writer.0.load(Ordering::SeqCst) {
            theirs.read_exact(&mut came).await.unwrap();
        }
    };
    in_time(told).await;
}
