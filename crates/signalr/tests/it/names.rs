//! Everything may be imported at once, beside the crates that programs use.

mod everything {
    use signalr::*;

    /// Of each crate something, by its own name: else this does not compile.
    type Crates = (
        async_std::time::Duration,
        axum::Router,
        blocking::time::Duration,
        bytes::Bytes,
        futures::time::Duration,
        futures_util::task::AtomicWaker,
        http::Uri,
        hyper::Error,
        redis::time::Duration,
        serde::de::IgnoredAny,
        smol::Timer,
        tracing_subscriber::Registry,
    );

    #[tokio::test]
    async fn the_facade_hides_no_crate() {
        tokio::task::yield_now().await;
        assert_ne!(size_of::<Crates>(), 0);
        let connection = HubConnection::builder("http://localhost/hub").build();
        assert_eq!(connection.unwrap().state(), ConnectionState::Disconnected);
    }
}

mod prelude {
    use signalr::prelude::*;

    struct Empty;

    impl Hub for Empty {
        fn methods(_: &mut HubMethods<Self>) {}
    }

    #[tokio::test]
    async fn the_prelude_is_enough_for_a_client_and_a_hub() {
        tokio::task::yield_now().await;
        assert!(HubServer::builder(Empty).build().is_ok());
        let connection = HubConnection::builder("http://localhost/hub")
            .protocol(Protocol::MessagePack)
            .automatic_reconnect(ReconnectPolicy::standard())
            .build_on(Tokio::default());
        assert_eq!(connection.unwrap().state(), ConnectionState::Disconnected);
    }
}
