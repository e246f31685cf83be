//! A lock is held across an await.

use std::sync::{Arc, Mutex};

fn main() {
    let connection = signalr::HubConnection::builder("http://localhost").build().unwrap();
    let count = Arc::new(Mutex::new(0));
    connection.on("Count", move || {
        let count = Arc::clone(&count);
        async move {
            let guard = count.lock().unwrap();
            std::future::ready(()).await;
            drop(guard);
        }
    });
}
