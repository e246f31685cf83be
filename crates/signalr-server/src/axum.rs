//! The integration with axum.

use axum::Router;

use crate::server::HubServer;

impl HubServer {
    /// The routes of this hub: `path` for its connections, `path/negotiate` and `path/refresh`.
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
    /// When axum does not take the path: it must begin with a slash.
    pub fn router<S: Clone + Send + Sync + 'static>(&self, path: &str) -> Router<S> {
        let path = path.trim_end_matches('/');
        let mut routes = Router::new();
        // A slash at the end makes no difference, and the root is nothing but that slash.
        for place in ["/", "/negotiate", "/negotiate/", "/refresh", "/refresh/"] {
            routes = routes.route_service(&format!("{path}{place}"), self.service());
        }
        if path.is_empty() {
            routes
        } else {
            routes.route_service(path, self.service())
        }
    }
}
