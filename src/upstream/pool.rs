//! Connections to upstreams that are kept for the next request. One pool for each worker thread;
//! nothing of it is shared, so nothing is locked.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::connector::{Connector, Protocol};
use super::error::UpstreamError;
use super::http1::Http1;
use super::http2::Http2;
use super::origin::Origin;
use crate::clock;
use crate::config::Scheme;
use crate::hint::{apart, seldom};
use crate::message::Recurring;
use crate::telemetry::{Recorder, Side};

/// Shorter than servers' own (nginx: 75 s, Node and some load balancers: less, hence the looks at
/// each connection before it is used).
const IDLE_TIMEOUT: Duration = Duration::from_secs(55);
const MAX_IDLE: usize = 256;
/// HTTP/2 connections to one origin; beyond them requests wait for a stream.
const MAX_HTTP2: usize = 16;
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// The hosts that this thread has connections to.
#[derive(Default)]
pub(super) struct Hosts {
    hosts: RefCell<HashMap<Key, Rc<Host>, BuildHasherDefault<Worked>>>,
    /// The one that was asked for last, which is nearly always the one that is asked for next.
    last: RefCell<Option<(Key, Rc<Host>)>>,
    /// Counts open connections.
    recorder: Option<Arc<Recorder>>,
}

#[derive(PartialEq, Eq)]
struct Key {
    connector: u64,
    origin: Origin,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.origin.hash() ^ self.connector);
    }
}

/// Takes the hash that an origin has worked out when it was made.
#[derive(Default)]
struct Worked(u64);

impl Hasher for Worked {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("a key is hashed as one number");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The connections to one origin.
pub(super) struct Host {
    // Boxed throughout: a connection is moved at every use, and is large.
    #[expect(clippy::vec_box, reason = "what is taken out stays boxed")]
    idle: RefCell<Vec<Box<Http1>>>,
    http2: RefCell<Vec<Http2>>,
    /// What the origin spoke last; unknown until the first connection stands.
    protocol: Cell<Option<Protocol>>,
    /// Held by the one who finds that out, or who opens a further HTTP/2 connection: a burst does
    /// not open a connection for each request where one carries all.
    opening: tokio::sync::Mutex<()>,
    used: Cell<Instant>,
    /// What it says in HTTP/1.1.
    recurring: RefCell<Recurring>,
    recorder: Option<Arc<Recorder>>,
}

/// A connection to send on, and how long it took to get it: zero where the pool had one.
pub(super) struct Checkout {
    pub(super) connection: Connected,
    pub(super) reused: bool,
    pub(super) took: Duration,
}

pub(super) enum Connected {
    Http1(Box<Http1>),
    Http2(Http2),
}

impl Hosts {
    /// To be called on a runtime for local tasks: it sweeps up after itself.
    pub(super) fn new(recorder: Option<Arc<Recorder>>) -> Rc<Self> {
        let hosts = Rc::new(Self { hosts: RefCell::default(), last: RefCell::default(), recorder });
        tokio::task::spawn_local(sweep(Rc::downgrade(&hosts)));
        hosts
    }

    pub(super) fn host(&self, connector: &Connector, origin: &Origin) -> Rc<Host> {
        if let Some((key, host)) = &*self.last.borrow()
            && key.connector == connector.id()
            && key.origin == *origin
        {
            return Rc::clone(host);
        }
        self.another(connector, origin)
    }

    #[inline(never)]
    fn another(&self, connector: &Connector, origin: &Origin) -> Rc<Host> {
        let key = || Key { connector: connector.id(), origin: origin.clone() };
        let make = || Rc::new(Host::new(self.recorder.clone()));
        let host = self.hosts.borrow_mut().entry(key()).or_insert_with(make).clone();
        *self.last.borrow_mut() = Some((key(), Rc::clone(&host)));
        host
    }

    /// Idle HTTP/1 connections, and HTTP/2 connections.
    pub(super) fn counts(&self) -> (usize, usize) {
        self.hosts.borrow().values().fold((0, 0), |(idle, http2), host| {
            (idle + host.idle.borrow().len(), http2 + host.http2.borrow().len())
        })
    }
}

/// Closes what has idled for long or was closed by the upstream, and forgets hosts that nobody
/// asks for.
async fn sweep(hosts: Weak<Hosts>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(hosts) = hosts.upgrade() else { return };
        // It would count as somebody who asks.
        *hosts.last.borrow_mut() = None;
        hosts.hosts.borrow_mut().retain(|_, host| {
            host.idle
                .borrow_mut()
                .retain_mut(|http1| http1.idle_since.elapsed() < IDLE_TIMEOUT && http1.is_alive());
            let stale = host.used.get().elapsed() >= IDLE_TIMEOUT;
            host.http2.borrow_mut().retain(|http2| !http2.is_idle() || (http2.is_usable() && !stale));
            let empty = host.idle.borrow().is_empty() && host.http2.borrow().is_empty();
            !(stale && empty && Rc::strong_count(host) == 1)
        });
    }
}

impl Host {
    fn new(recorder: Option<Arc<Recorder>>) -> Self {
        Self {
            idle: RefCell::default(),
            http2: RefCell::default(),
            protocol: Cell::new(None),
            opening: tokio::sync::Mutex::new(()),
            used: Cell::new(clock::now()),
            recurring: RefCell::default(),
            recorder,
        }
    }

    /// A connection from the pool or a new one; `fresh`: a new one in any case.
    pub(super) async fn checkout(
        &self,
        connector: &Connector,
        origin: &Origin,
        http1_only: bool,
        fresh: bool,
    ) -> Result<Checkout, UpstreamError> {
        if !fresh && let Some(connection) = self.pooled(http1_only) {
            return Ok(Checkout { connection, reused: true, took: Duration::ZERO });
        }
        apart(|| self.wait_for_one(connector, origin, http1_only, fresh)).await
    }

    /// Opens a connection, or gets one that somebody else has opened in the meantime.
    async fn wait_for_one(
        &self,
        connector: &Connector,
        origin: &Origin,
        http1_only: bool,
        fresh: bool,
    ) -> Result<Checkout, UpstreamError> {
        let began = Instant::now();
        let got = |connection, reused| Checkout { connection, reused, took: began.elapsed() };
        let shares =
            origin.scheme() == Scheme::Https && !http1_only && self.protocol.get() != Some(Protocol::Http1);
        if !shares {
            return Ok(got(self.open(connector, origin, http1_only).await?, false));
        }
        let after = connector.connect_timeout();
        let turn = tokio::time::timeout(after, self.opening.lock())
            .await
            .map_err(|_| UpstreamError::ConnectTimeout { to: origin.to_string(), after })?;
        // Somebody else may have opened one in the meantime. If it turned out to be HTTP/1, the
        // others need not wait for each other.
        if let Some(found) = self.pooled(http1_only).filter(|_| !fresh) {
            return Ok(got(found, true));
        }
        if self.protocol.get() == Some(Protocol::Http1) {
            drop(turn);
        }
        Ok(got(self.open(connector, origin, http1_only).await?, false))
    }

    #[inline(always)]
    fn pooled(&self, http1_only: bool) -> Option<Connected> {
        if !http1_only
            && !self.http2.borrow().is_empty()
            && let Some(connection) = self.pooled_http2()
        {
            self.used.set(clock::now());
            return Some(Connected::Http2(connection));
        }
        // The one that was used last is the likeliest to be alive.
        while let Some(mut connection) = self.idle.borrow_mut().pop() {
            if connection.is_alive() {
                return Some(Connected::Http1(connection));
            }
            seldom();
        }
        None
    }

    #[inline(never)]
    fn pooled_http2(&self) -> Option<Http2> {
        let mut http2 = self.http2.borrow_mut();
        if let [only] = http2.as_slice()
            && only.is_usable()
            && only.has_room()
        {
            return Some(only.clone());
        }
        http2.retain(|connection| connection.is_usable() || !connection.is_idle());
        let full = http2.len() >= MAX_HTTP2;
        let usable =
            http2.iter().filter(|connection| connection.is_usable() && (full || connection.has_room()));
        usable.min_by_key(|connection| connection.active()).cloned()
    }

    async fn open(
        &self,
        connector: &Connector,
        origin: &Origin,
        http1_only: bool,
    ) -> Result<Connected, UpstreamError> {
        let (stream, protocol) = connector.connect(origin, http1_only).await?;
        let stream =
            stream.counted(self.recorder.as_ref().map(|recorder| recorder.connection(Side::Upstream)));
        self.used.set(clock::now());
        if !http1_only {
            self.protocol.set(Some(protocol));
        }
        match protocol {
            Protocol::Http1 => Ok(Connected::Http1(Box::new(Http1::new(stream)))),
            Protocol::Http2 => {
                let mut http2 = self.http2.borrow_mut();
                let connection = Http2::new(stream, http2.last());
                http2.push(connection.clone());
                Ok(Connected::Http2(connection))
            }
        }
    }

    pub(super) fn recurring(&self) -> &RefCell<Recurring> {
        &self.recurring
    }

    /// Takes a connection back after its exchange.
    #[inline(always)]
    pub(super) fn give_back(&self, mut connection: Box<Http1>) {
        connection.idle_since = clock::now();
        self.used.set(connection.idle_since);
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
    }

    /// Closes the idle connections, when one of them has turned out to lead nowhere.
    pub(super) fn drop_idle(&self) {
        self.idle.borrow_mut().clear();
    }
}
