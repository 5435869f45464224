//! The HTTP surface from outside: a real listener, bytes on a socket, an engine on a store in
//! memory, jobs played by hand and a clock that the test moves.

mod access;
mod api;
mod bad_input;
mod hook;
mod listen;
mod server;
mod storm;
mod tail;
mod wire;
