//! The integration with axum.

use axum::Router;
use signalr_proto::server::Resource;

use crate::server::HubServer;

impl HubServer {
    /// The routes of this hub: `path` for its connections, `path/negotiate` and `path/refresh`. The path may hold letters beyond
    /// ASCII and, as axum's, parameters: `/rooms/{room}`.
    ///
    /// ```
    /// # use signalr_server::{Hub, HubMethods, HubServer};
    /// # struct Chat;
    /// # impl Hub for Chat { fn methods(_: &mut HubMethods<Self>) {} }
    /// # let rt = tokio::runtime::Runtime::new().unwrap();
    /// # let _context = rt.enter();
    /// let hub = HubServer::new(Chat).unwrap();
    /// let app: axum::Router = axum::Router::new().merge(hub.router("/chat"));
    /// ```
    ///
    /// # Panics
    /// When the path does not begin with a slash, as axum's routes do not; and when axum does not take it for another reason.
    #[track_caller]
    pub fn router<S: Clone + Send + Sync + 'static>(&self, path: &str) -> Router<S> {
        assert!(
            path.is_empty() || path.starts_with('/'),
            "the path {path:?} of the hub {} must begin with a slash: \"/{path}\"",
            self.shared.name,
        );
        let path = as_requested(path.trim_end_matches('/'));
        let mut routes = Router::new();
        // A slash at the end makes no difference, and the root is nothing but that slash.
        let places = [
            ("", Resource::Hub),
            ("/negotiate", Resource::Negotiate),
            ("/refresh", Resource::Refresh),
        ];
        for (place, resource) in places {
            // A hub may have the name of what is below hubs.
            let service = self.service_of(resource);
            let place = format!("{path}{place}");
            routes = routes.route_service(&format!("{place}/"), service.clone());
            if !place.is_empty() {
                routes = routes.route_service(&place, service);
            }
        }
        routes
    }
}

/// The path as requests have it, where letters beyond ASCII, and spaces, stand percent-encoded: axum compares it with that.
fn as_requested(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for letter in path.chars() {
        if letter.is_ascii_graphic() {
            encoded.push(letter);
            continue;
        }
        for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(all(test, feature = "tokio"))]
mod tests {
    use super::*;
    use crate::{Hub, HubMethods};

    struct Chat;

    impl Hub for Chat {
        fn methods(_: &mut HubMethods<Self>) {}
    }

    #[tokio::test]
    async fn both_the_root_and_paths_below_it_are_taken() {
        let hub = HubServer::new(Chat).unwrap();
        for path in ["", "/", "/chat", "/chat/"] {
            let _: Router = hub.router(path);
        }
    }

    #[tokio::test]
    #[should_panic(
        expected = r#"the path "chat" of the hub signalr_server::axum::tests::Chat must begin with a slash: "/chat""#
    )]
    async fn a_path_without_a_slash_is_told_with_its_hub() {
        let _: Router = HubServer::new(Chat).unwrap().router("chat");
    }
}
