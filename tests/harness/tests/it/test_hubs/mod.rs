//! The test hubs, asked without any client.

mod calls;
mod http;
mod web_socket;
