//! What the compiler cannot know: which way requests take, and which way few of them do.
//!
//! A small request runs through its instructions about once, and by the next one the kernel's own
//! have taken their place in the processor's first cache. So each is fetched anew, with whatever
//! stands beside it, and what stands between them without being run costs as much as they do. The
//! compiler takes the branches of a program to be equally likely and lays them out one behind the
//! other; told which are not, it puts those at the end. `docs/performance.md` has the figures.
//!
//! What one place calls on that way is inlined there by force (`#[inline(always)]`), since a function
//! by itself begins and ends a line; what it seldom comes to stands in a function of its own that is
//! not (`#[inline(never)]`).

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// Says that what the call stands in seldom runs, such as the making of an error: it is kept out
/// of the way of what is usual. Does nothing.
#[cold]
#[inline(never)]
pub fn seldom() {}

/// A future that is seldom waited for, made and polled out of line, and in a box, so that the
/// future which waits for it has no room for it.
#[cold]
#[inline(never)]
pub fn apart<'a, F: Future + 'a>(make: impl FnOnce() -> F) -> Pin<Box<dyn Future<Output = F::Output> + 'a>> {
    Box::pin(make())
}

/// A future that is polled out of line, and stays in its place: one way of several that are taken
/// about as often, and too long to stand among the others.
pub fn aside<F: Future>(future: F) -> Aside<F> {
    Aside { future }
}

pin_project! {
    /// See [`aside`].
    pub struct Aside<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Aside<F> {
    type Output = F::Output;

    #[inline(never)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn a_future_apart_or_aside_borrows_waits_and_ends_as_it_would_in_its_place() {
        let polled = Cell::new(0);
        let work = || async {
            polled.set(polled.get() + 1);
            tokio::task::yield_now().await;
            polled.set(polled.get() + 1);
            "done"
        };
        let future = apart(work);
        assert_eq!(polled.get(), 0, "it runs when it is waited for");
        assert_eq!((future.await, polled.get()), ("done", 2));
        let future = aside(work());
        assert_eq!(polled.get(), 2, "it runs when it is waited for");
        assert_eq!((future.await, polled.get()), ("done", 4));
    }
}
