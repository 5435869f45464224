//! The words of the protocol.
