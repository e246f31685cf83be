//! Parameters are no tuple.

use std::sync::Arc;

use signalr::server::{Hub, HubMethods};

struct Calculator;

impl Calculator {
    // A function, since closures are told by the path of their file, and the line under that path is as long as it is.
    async fn add(self: Arc<Self>, (a, b): (i32, i32)) -> i32 {
        a + b
    }
}

impl Hub for Calculator {
    fn methods(methods: &mut HubMethods<Self>) {
        methods.on("Add", Self::add);
    }
}

fn main() {}
