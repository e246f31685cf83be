//! Parameters are no tuple.

use std::sync::Arc;

use signalr::server::{Hub, HubMethods};

struct Calculator;

impl Hub for Calculator {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Add", async |_: Arc<Self>, (a, b): (i32, i32)| a + b);
    }
}

fn main() {}
