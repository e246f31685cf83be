//! A test's answer takes its parameters as one tuple.

use signalr::server::testing::TestClient;

fn prepare(client: &mut TestClient) {
    client.answer("Add", |(a, b): (i32, i32)| Ok(a + b));
}

fn main() {}
