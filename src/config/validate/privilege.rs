//! Least privilege: routes that could ask for less.

use http::Method;

use super::Checker;
use crate::config::{Access, Route};

impl Checker<'_> {
    /// A route that reads with a token which may write, where two routes could tell these apart.
    pub(super) fn warn_of_more_scope_than_reading_needs(&mut self, route: &Route) {
        let reads = |method: &Method| matches!(*method, Method::GET | Method::HEAD);
        let mixed = |methods: &Vec<Method>| methods.iter().any(reads) && !methods.iter().all(reads);
        if route.access == Access::ReadOnly || !route.methods.as_ref().is_none_or(mixed) {
            return;
        }
        if let Some((read, write)) = read_and_write(&route.scopes) {
            self.warnings.push(format!(
                "route {}: it asks for both {read} and {write}, whatever the method; two routes that differ by `methods` would read with {read} alone",
                route.name
            ));
        }
    }
}

/// A scope for reading and one for more of the same: `idporten:dcr.read` and `idporten:dcr.write`.
fn read_and_write(scopes: &[String]) -> Option<(&str, &str)> {
    let parts = |scope: &'_ String| scope.rfind(['.', ':', '/', '-']);
    scopes.iter().find_map(|read| {
        let end = parts(read)?;
        if &read[end + 1..] != "read" {
            return None;
        }
        let same =
            |scope: &&String| *scope != read && parts(scope) == Some(end) && scope[..end] == read[..end];
        scopes.iter().find(same).map(|write| (read.as_str(), write.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_for_reading_and_writing_the_same_are_seen() {
        let found = |scopes: &[&str]| {
            let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            read_and_write(&scopes).map(|(read, write)| (read.to_owned(), write.to_owned()))
        };
        let pair = |read: &str, write: &str| Some((read.to_owned(), write.to_owned()));
        let (read, write) = ("idporten:dcr.read", "idporten:dcr.write");
        assert_eq!(found(&[read, write]), pair(read, write));
        assert_eq!(found(&["idporten:dcr.modify", read]), pair(read, "idporten:dcr.modify"));
        assert_eq!(found(&["a:b/read", "a:b/write"]), pair("a:b/read", "a:b/write"));
        assert_eq!(found(&[read]), None);
        assert_eq!(found(&[read, "idporten:scopes.write"]), None);
        assert_eq!(found(&[write, "idporten:dcr.modify"]), None);
        assert_eq!(found(&["read", "write"]), None);
    }
}
