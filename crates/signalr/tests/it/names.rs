//! Everything may be imported at once, beside the crates that programs use.

mod everything {
    use signalr::*;

    #[tokio::test]
    async fn the_facade_hides_no_crate() {
        tokio::task::yield_now().await;
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
