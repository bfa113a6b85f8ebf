//! [`RouteTable`]: from host, path and method to whatever a route leads to.
//!
//! The table knows nothing of tokens or upstreams, never looks into a path beyond its segments,
//! and never decodes one. A look-up allocates nothing, and its cost grows with the length of the
//! path and the logarithm of the number of routes.

mod forward;

use std::cmp::Ordering;

use http::Method;

use crate::authority::Host;
use crate::config::PathPrefix;

pub use forward::ForwardTable;

/// Which requests an entry takes.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// `None`: every host.
    pub host: Option<Host>,
    pub path: PathPrefix,
    /// `None`: every method. `GET` takes `HEAD` along.
    pub methods: Option<Vec<Method>>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match<'t, T> {
    Found {
        target: &'t T,
        /// Where in the path the matched prefix ends: what follows is empty or begins with `/`.
        rest_at: usize,
    },
    /// Some entries match host and path, none of them the method.
    MethodNotAllowed {
        /// What those entries take, each method once.
        allow: Vec<Method>,
    },
    NotFound,
}

/// Entries by the longest matching path; among equals the one with a host, then the one with
/// methods, then the first given.
///
/// An entry that does not take the request's method does not match, so that a shorter path, or
/// an entry without methods, may take it.
#[derive(Clone, Debug)]
pub struct RouteTable<T> {
    /// In the order of [`by_segments`], so that a prefix comes right before what it contains.
    nodes: Vec<Node<T>>,
}

/// All entries of one path.
#[derive(Clone, Debug)]
struct Node<T> {
    /// Empty for the root.
    prefix: Box<str>,
    /// The longest other prefix that contains this one.
    parent: Option<usize>,
    /// Sorted by host.
    by_host: Vec<(Host, Vec<Leaf<T>>)>,
    any_host: Vec<Leaf<T>>,
}

#[derive(Clone, Debug)]
struct Leaf<T> {
    methods: Option<Vec<Method>>,
    target: T,
}

impl<T> RouteTable<T> {
    pub fn new(entries: impl IntoIterator<Item = (Pattern, T)>) -> Self {
        let mut entries: Vec<_> = entries.into_iter().collect();
        // Stable, so that of two entries that take the same requests the first given wins.
        entries.sort_by(|(a, _), (b, _)| {
            by_segments(prefix_of(&a.path), prefix_of(&b.path))
                .then_with(|| a.host.cmp(&b.host))
                .then_with(|| b.methods.is_some().cmp(&a.methods.is_some()))
        });
        let mut nodes: Vec<Node<T>> = Vec::new();
        for (Pattern { host, path, methods }, target) in entries {
            let prefix = prefix_of(&path);
            if nodes.last().is_none_or(|node| &*node.prefix != prefix) {
                let parent = parent_of(&nodes, prefix);
                nodes.push(Node { prefix: prefix.into(), parent, by_host: Vec::new(), any_host: Vec::new() });
            }
            let node = nodes.last_mut().expect("one was just pushed where there was none");
            node.insert(host, Leaf { methods, target });
        }
        Self { nodes }
    }

    /// Finds the entry for a request. `path` is the request's without its query; `host` is
    /// `None` where it is not known, and then only entries for every host match.
    #[inline(always)]
    pub fn find(&self, host: Option<&Host>, path: &str, method: &Method) -> Match<'_, T> {
        let mut some_match = false;
        for node in self.nodes_of(path) {
            for leaf in node.leaves(host) {
                if leaf.takes(method) {
                    return Match::Found { target: &leaf.target, rest_at: node.prefix.len() };
                }
                some_match = true;
            }
        }
        if !some_match {
            return Match::NotFound;
        }
        Match::MethodNotAllowed { allow: self.allowed(host, path) }
    }

    /// The nodes whose prefix matches `path` on whole segments, longest first.
    fn nodes_of(&self, path: &str) -> impl Iterator<Item = &Node<T>> {
        // The last node that does not come after the path: where any prefix matches, the
        // longest of them is this node or contains it.
        let after = self.nodes.partition_point(|node| by_segments(&node.prefix, path) != Ordering::Greater);
        let nearest = after.checked_sub(1).map(|at| &self.nodes[at]);
        std::iter::successors(nearest, |node| node.parent.map(|at| &self.nodes[at]))
            .filter(move |node| contains(&node.prefix, path))
    }

    #[inline(never)]
    fn allowed(&self, host: Option<&Host>, path: &str) -> Vec<Method> {
        let mut allowed = Vec::new();
        let leaves = self.nodes_of(path).flat_map(|node| node.leaves(host));
        for method in leaves.flat_map(|leaf| leaf.methods.iter().flatten()) {
            let head = (*method == Method::GET).then_some(&Method::HEAD);
            for method in std::iter::once(method).chain(head) {
                if !allowed.contains(method) {
                    allowed.push(method.clone());
                }
            }
        }
        allowed
    }
}

impl<T> Node<T> {
    /// Entries come sorted by host, then those with methods first.
    fn insert(&mut self, host: Option<Host>, leaf: Leaf<T>) {
        match (host, self.by_host.last_mut()) {
            (None, _) => self.any_host.push(leaf),
            (Some(host), Some((last, leaves))) if *last == host => leaves.push(leaf),
            (Some(host), _) => self.by_host.push((host, vec![leaf])),
        }
    }

    /// Those of the host, then those of every host.
    fn leaves(&self, host: Option<&Host>) -> impl Iterator<Item = &Leaf<T>> {
        let of_host = if self.by_host.is_empty() { &[] } else { self.of_host(host) };
        of_host.iter().chain(&self.any_host)
    }

    #[inline(never)]
    fn of_host(&self, host: Option<&Host>) -> &[Leaf<T>] {
        host.and_then(|host| self.by_host.binary_search_by(|(other, _)| other.cmp(host)).ok())
            .map_or(&[], |at| &self.by_host[at].1)
    }
}

impl<T> Leaf<T> {
    fn takes(&self, method: &Method) -> bool {
        let Some(methods) = &self.methods else { return true };
        methods.contains(method) || (*method == Method::HEAD && methods.contains(&Method::GET))
    }
}

/// The prefix without a slash at its end, the root's included.
fn prefix_of(path: &PathPrefix) -> &str {
    path.as_str().trim_end_matches('/')
}

/// Whether `prefix` is `path` or ends on a segment boundary of it.
fn contains(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The nearest node that contains `prefix`, where `nodes` ends right before it in order.
fn parent_of<T>(nodes: &[Node<T>], prefix: &str) -> Option<usize> {
    let mut candidate = nodes.len().checked_sub(1);
    while let Some(at) = candidate {
        if contains(&nodes[at].prefix, prefix) {
            return Some(at);
        }
        candidate = nodes[at].parent;
    }
    None
}

/// Lexicographic, with `/` before every other character: `/a`, `/a/b`, `/a-b`. So all that lies
/// below a prefix follows it without a gap.
fn by_segments(a: &str, b: &str) -> Ordering {
    let differing = a.bytes().zip(b.bytes()).find(|(a, b)| a != b);
    match differing {
        None => a.len().cmp(&b.len()),
        Some((b'/', _)) => Ordering::Less,
        Some((_, b'/')) => Ordering::Greater,
        Some((a, b)) => a.cmp(&b),
    }
}

#[cfg(test)]
mod tests;
