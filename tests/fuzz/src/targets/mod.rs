//! What is fuzzed.

mod access;
mod args;
mod client;
mod forms;
mod livestore;
mod numbers;
mod server;
mod urls;

pub(crate) use livestore::FRAME_MARK;
pub(crate) use server::{LOG_ID, SEPARATOR};

use crate::Target;

/// All of them. A new one is a line here and a seed in `seeds.rs`.
pub const TARGETS: &[Target] = &[
    decoder("args", args::args),
    decoder("numbers", numbers::numbers),
    decoder("native-json", forms::json),
    decoder("native-postcard", forms::postcard),
    decoder("native-client-frame", forms::client_frame),
    decoder("native-server-frame", forms::server_frame),
    decoder("native-page-body", forms::page_body),
    decoder("native-url", urls::native),
    decoder("payload", urls::payload),
    decoder("livestore-client-frames", livestore::client_frames),
    decoder("livestore-server-frame", livestore::server_frame),
    decoder("livestore-frame-array", livestore::frame_array),
    decoder("livestore-url", urls::livestore),
    decoder("access-glob", access::glob),
    decoder("access-token", access::token),
    conversation("server-http", server::http),
    conversation("server-livestore-ws", server::livestore_ws),
    conversation("server-native-ws", server::native_ws),
    conversation("client-http", client::native_http),
    conversation("client-ws", client::native_ws),
    conversation("client-livestore-http", client::livestore_http),
    conversation("client-livestore-ws", client::livestore_ws),
];

/// A function of bytes. An event is about 300 bytes and can be written in 13; what is decoded is encoded again.
const fn decoder(name: &'static str, check: fn(&[u8])) -> Target {
    Target { name, check, bytes_per_byte: 200, base_bytes: 64 * 1024 }
}

/// A peer that is told the input, with a runtime, a connection and its buffers around it.
const fn conversation(name: &'static str, check: fn(&[u8])) -> Target {
    Target { name, check, bytes_per_byte: 400, base_bytes: 4 * 1024 * 1024 }
}

/// The texts of an input: it is cut at a byte that no text has.
fn texts(input: &[u8]) -> Vec<&[u8]> {
    input.split(|byte| *byte == 0xff).collect()
}
