//! All the tokens of a running proxy: one [`TokenSource`] for each distinct [`Identity`].
//!
//! It outlives configurations: a reload takes it along, so that tokens which are still wanted stay.
//! Identities that come with requests are bounded in number; the least recently used go first.
//! Routes with fixed claims hold their source themselves and never look it up here.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::config;
use crate::oauth::assertion::Signer;
use crate::oauth::client::{GrantClient, Tools};
use crate::oauth::fetch::IdentityFetch;
use crate::oauth::identity::Identity;
use crate::oauth::observer::Observer;
use crate::oauth::token_source::TokenSource;
use crate::oauth::transport::TokenHttp;

/// Identities that come with requests, unless the set-up says otherwise.
pub const CAPACITY: usize = 100_000;

/// How often spent sources are swept out.
const SWEEP: Duration = Duration::from_secs(30);

/// What the sources need from the program around them.
#[derive(Debug)]
pub struct Setup {
    /// Where fetches and refreshes run: not the threads that carry requests.
    pub runtime: Handle,
    pub clock: Clock,
    pub http: TokenHttp,
    pub observer: Arc<dyn Observer>,
    /// The most identities that are held, those that are kept fresh not counted.
    pub capacity: usize,
}

/// The sources by identity.
#[derive(Debug)]
pub struct TokenSources {
    runtime: Handle,
    tools: Arc<Tools>,
    /// Told apart by name, issuer and key; those that no profile holds any more fall out.
    clients: Mutex<Vec<Weak<GrantClient>>>,
    kept: Mutex<Vec<Arc<TokenSource>>>,
    hasher: RandomState,
    shards: Box<[Shard]>,
    shard_capacity: usize,
}

/// Readers hold the lock for the time of one look-up, and different identities mostly take
/// different shards.
type Shard = RwLock<HashMap<Identity, Arc<TokenSource>>>;

impl TokenSources {
    /// Begins with no source, and with a task on the set-up's runtime that sweeps spent ones out
    /// for as long as this lives.
    pub fn new(setup: Setup) -> Arc<Self> {
        let Setup { runtime, clock, http, observer, capacity } = setup;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let tools =
            Tools { http: ArcSwap::from_pointee(http), clock, observer, signing: Semaphore::new(cores) };
        // Few identities go into one shard, where the least recently used is the least recently
        // used of all.
        let shards = (capacity / 256).clamp(1, 256);
        let sources = Arc::new(Self {
            runtime,
            tools: Arc::new(tools),
            clients: Mutex::default(),
            kept: Mutex::default(),
            hasher: RandomState::new(),
            shards: (0..shards).map(|_| Shard::default()).collect(),
            shard_capacity: capacity.div_ceil(shards).max(1),
        });
        sources.runtime.spawn(sweep(Arc::downgrade(&sources)));
        sources
    }

    /// From now on, token requests go this way (trust or the outbound proxy has changed).
    pub fn replace_http(&self, http: TokenHttp) {
        self.tools.http.store(Arc::new(http));
    }

    /// The client with this key: the one at work already where nothing has changed, so that its
    /// pauses and what it knows of the clocks stay.
    pub fn client(&self, client: &config::Client, signer: Arc<dyn Signer>) -> Arc<GrantClient> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|known| known.strong_count() > 0);
        if let Some(known) = clients.iter().filter_map(Weak::upgrade).find(|known| known.is(client, &*signer))
        {
            return known;
        }
        let made = Arc::new(GrantClient::new(client, signer, Arc::clone(&self.tools)));
        clients.push(Arc::downgrade(&made));
        made
    }

    /// The source of `identity`; made, without a token yet, where there is none.
    pub fn source(&self, identity: &Identity) -> Arc<TokenSource> {
        let shard = self.shard(identity);
        if let Some(source) = shard.read().unwrap_or_else(PoisonError::into_inner).get(identity) {
            return Arc::clone(source);
        }
        let mut map = shard.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = map.get(identity) {
            return Arc::clone(source);
        }
        if map.len() >= self.shard_capacity {
            evict(&mut map, self.shard_capacity);
        }
        let fetch = IdentityFetch::new(identity.clone(), self.tools.clock.clone());
        let clock = self.tools.clock.clone();
        let source = TokenSource::new(identity.clone(), Box::new(fetch), self.runtime.clone(), clock);
        map.insert(identity.clone(), Arc::clone(&source));
        source
    }

    /// Keeps exactly these sources fresh from now on. Call it when a new configuration is about to
    /// go live: those that it no longer names are let go, refusals are tried again once (those of
    /// identities that come with requests, too), and where a key was replaced the old key's token
    /// serves until the new key has obtained its own.
    pub fn reconcile(&self, fixed: &[Arc<TokenSource>]) {
        let clients: Vec<_> = self
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for client in clients {
            client.retry_now();
        }
        for source in self.all() {
            source.retry_now();
        }
        let mut kept = self.kept();
        for source in fixed {
            if !source.is_ready()
                && let Some(old) =
                    kept.iter().find(|old| source.identity().differs_in_key_alone(old.identity()))
            {
                source.inherit(old);
            }
            let shard = self.shard(source.identity());
            // It may have been swept out between its making and now.
            shard
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(source.identity().clone(), Arc::clone(source));
            source.retry_now();
            source.keep_fresh();
        }
        for old in kept.iter().filter(|old| !fixed.iter().any(|source| Arc::ptr_eq(source, old))) {
            old.let_go();
        }
        *kept = fixed.to_vec();
    }

    /// Every source that is held, in no order.
    pub fn all(&self) -> Vec<Arc<TokenSource>> {
        let read = |shard: &Shard| -> Vec<_> {
            shard.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
        };
        self.shards.iter().flat_map(read).collect()
    }

    /// How many sources are held.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn sweep(&self) {
        for shard in &self.shards {
            shard.write().unwrap_or_else(PoisonError::into_inner).retain(|_, source| !source.is_spent());
        }
    }

    fn shard(&self, identity: &Identity) -> &Shard {
        let hash = self.hasher.hash_one(identity);
        &self.shards[(hash % self.shards.len() as u64) as usize]
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Arc<TokenSource>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for one: the least recently used goes, of those that nobody keeps fresh.
#[expect(
    clippy::mutable_key_type,
    reason = "what changes in a client is no part of an identity's comparison"
)]
fn evict(map: &mut HashMap<Identity, Arc<TokenSource>>, capacity: usize) {
    while map.values().filter(|source| !source.is_kept()).count() >= capacity {
        let oldest =
            map.iter().filter(|(_, source)| !source.is_kept()).min_by_key(|(_, source)| source.last_used());
        let Some(identity) = oldest.map(|(identity, _)| identity.clone()) else { return };
        map.remove(&identity);
    }
}

async fn sweep(sources: Weak<TokenSources>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        match sources.upgrade() {
            Some(sources) => sources.sweep(),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests;
