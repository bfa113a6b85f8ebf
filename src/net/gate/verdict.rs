//! Where each message ends, and what happens when one is no message.

use super::chunked::Chunked;
use super::head::{Framing, Head, Scanner};
use super::{BadChunk, Body, Gate, HEAD_STAND_IN, Refusal, STAND_IN, State};

impl Gate {
    /// Judges `fresh`, which follows everything that was judged before; the number of bytes at
    /// its start that may pass.
    pub(super) fn judge(&mut self, fresh: &[u8]) -> usize {
        let mut at = 0;
        while at < fresh.len() {
            match &mut self.state {
                State::Head => match self.scanner.scan(&fresh[at..]) {
                    Ok(Some(head)) => {
                        at += head.len;
                        self.enter(head);
                    }
                    Ok(None) => break,
                    Err(refusal) => {
                        self.refuse(refusal);
                        break;
                    }
                },
                State::Body { left: Body::Length(left), upgrade } => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(fresh.len() - at);
                    at += here;
                    // `here` is at most `left`.
                    *left -= here as u64;
                    if *left == 0 {
                        let upgrade = *upgrade;
                        self.end_message(upgrade);
                    }
                }
                State::Body { left: Body::Chunked(chunked), upgrade } => {
                    let upgrade = *upgrade;
                    match chunked.advance(&fresh[at..]) {
                        Ok(used) => {
                            at += used;
                            if chunked.is_end() {
                                self.end_message(upgrade);
                            }
                        }
                        Err((used, fault)) => {
                            at += used;
                            self.state = State::Broken(BadChunk(fault));
                        }
                    }
                }
                State::Upgrade(_) | State::Opaque | State::Refused | State::Broken(_) => break,
            }
        }
        at
    }

    fn enter(&mut self, head: Head) {
        self.passed += 1;
        self.deadline.clear();
        self.head_timed = false;
        self.scanner = Scanner::default();
        match head.body {
            Framing::Length(0) => self.end_message(head.upgrade),
            Framing::Length(length) => {
                self.state = State::Body { left: Body::Length(length), upgrade: head.upgrade };
            }
            Framing::Chunked => {
                self.state = State::Body { left: Body::Chunked(Chunked::new()), upgrade: head.upgrade };
            }
        }
    }

    fn end_message(&mut self, upgrade: bool) {
        // The head that has just ended is the last that passed.
        self.state = if upgrade { State::Upgrade(self.passed - 1) } else { State::Head };
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.shared.refuse(self.passed, refusal);
        self.state = State::Refused;
        self.deadline.clear();
    }

    /// Holds the stand-in for a refused head, in place of what came.
    pub(super) fn hold_stand_in(&mut self, head_method: bool) {
        self.held.clear();
        self.held.extend_from_slice(if head_method { HEAD_STAND_IN } else { STAND_IN });
        self.taken = 0;
        self.released = self.held.len();
    }

    /// Judges what is held back; whether anything came free, or the state changed, by it.
    pub(super) fn judge_held(&mut self) -> bool {
        if self.held.len() == self.released {
            return false;
        }
        let held = std::mem::take(&mut self.held);
        let passes = self.judge(&held[self.released..]);
        self.held = held;
        match self.state {
            State::Refused => {
                let head_method = self.held[self.released..].starts_with(b"HEAD ");
                if passes > 0 {
                    // Good messages stand ahead of the bad one.
                    self.held.truncate(self.released + passes);
                    self.held.extend_from_slice(if head_method { HEAD_STAND_IN } else { STAND_IN });
                    self.released = self.held.len();
                } else {
                    self.hold_stand_in(head_method);
                }
                true
            }
            State::Broken(_) => {
                self.released += passes;
                self.held.truncate(self.released);
                true
            }
            _ => {
                self.released += passes;
                passes > 0
            }
        }
    }
}
