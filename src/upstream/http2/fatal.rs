//! [`Fatal`]: why what comes on a connection is not HTTP/2.

use super::frame::Code;

/// Why the connection is at an end: what the upstream is told, and what we are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fatal {
    pub(super) code: Code,
    pub(super) reason: &'static str,
}

pub(super) const fn protocol(reason: &'static str) -> Fatal {
    Fatal { code: Code::PROTOCOL_ERROR, reason }
}

pub(super) const fn frame_size(reason: &'static str) -> Fatal {
    Fatal { code: Code::FRAME_SIZE_ERROR, reason }
}

pub(super) const fn flow_control(reason: &'static str) -> Fatal {
    Fatal { code: Code::FLOW_CONTROL_ERROR, reason }
}

pub(super) const fn calm(reason: &'static str) -> Fatal {
    Fatal { code: Code::ENHANCE_YOUR_CALM, reason }
}

pub(super) const COMPRESSION: Fatal =
    Fatal { code: Code::COMPRESSION_ERROR, reason: "a header block cannot be decoded" };
pub(super) const TOO_WIDE: Fatal = flow_control("a window is wider than windows can be");
pub(super) const PADDING: Fatal = protocol("a frame is padded with more than it holds");
pub(super) const EMPTY: Fatal = frame_size("a padded frame is empty");
