//! What the application decides while connecting: access tokens and reconnect delays.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use signalr_proto::client::{ReconnectPolicy, RetryContext};
use signalr_proto::transport::negotiate::AccessToken;

type TokenResult = Result<Option<AccessToken>, Box<str>>;
pub(crate) type TokenFuture = Pin<Box<dyn Future<Output = TokenResult> + Send>>;

/// What a token provider may return: a `String`, an `Option<String>`, or a `Result` of either.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an access token",
    label = "not a token",
    note = "a token provider is an async function of a `String`, an `Option<String>`, or a `Result` of either with an error that implements `Display`"
)]
pub trait IntoToken {
    /// The token, none, or why there is none in the words for the error.
    ///
    /// # Errors
    /// What the provider failed with.
    fn into_token(self) -> Result<Option<String>, String>;
}

impl IntoToken for String {
    fn into_token(self) -> Result<Option<String>, String> {
        Ok(Some(self))
    }
}

impl IntoToken for Option<String> {
    fn into_token(self) -> Result<Option<String>, String> {
        Ok(self)
    }
}

impl<T: IntoToken, E: core::fmt::Display> IntoToken for Result<T, E> {
    fn into_token(self) -> Result<Option<String>, String> {
        self.map_err(|error| error.to_string())?.into_token()
    }
}

/// Asks the application for a token.
#[derive(Clone)]
pub(crate) struct TokenProvider(Arc<dyn Fn() -> TokenFuture + Send + Sync>);

impl TokenProvider {
    pub(crate) fn new<F, Fut>(provide: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoToken> + Send + 'static,
    {
        Self(Arc::new(move || {
            let future = provide();
            Box::pin(async move { Ok(future.await.into_token()?.and_then(AccessToken::new)) })
        }))
    }

    /// A panic in the provider is a failure to provide.
    pub(crate) fn ask(&self) -> TokenFuture {
        let provide = Arc::clone(&self.0);
        let guarded = async move { provide().await };
        let guarded = futures_util::FutureExt::catch_unwind(AssertUnwindSafe(guarded));
        Box::pin(async move { guarded.await.unwrap_or_else(|_| Err("it panicked".into())) })
    }
}

/// When to connect again after an established connection was lost: a [`ReconnectPolicy`], or a closure.
#[derive(Clone)]
pub struct RetryPolicy {
    policy: ReconnectPolicy,
    custom: Option<CustomPolicy>,
}

type CustomPolicy = Arc<dyn Fn(&RetryContext) -> Option<Duration> + Send + Sync>;

impl RetryPolicy {
    /// A policy of your own: how long to wait before the next attempt, or `None` to give up. A panic gives up.
    ///
    /// ```
    /// use std::time::Duration;
    /// use signalr_client::RetryPolicy;
    ///
    /// let patient = RetryPolicy::custom(|context| {
    ///     (context.elapsed < Duration::from_secs(600)).then(|| Duration::from_secs(1) * context.previous_retry_count)
    /// });
    /// ```
    pub fn custom(
        decide: impl Fn(&RetryContext) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        Self {
            policy: ReconnectPolicy::Ask,
            custom: Some(Arc::new(decide)),
        }
    }

    pub(crate) fn into_parts(self) -> (ReconnectPolicy, Option<Decider>) {
        (self.policy, self.custom.map(Decider))
    }
}

impl From<ReconnectPolicy> for RetryPolicy {
    fn from(policy: ReconnectPolicy) -> Self {
        Self {
            policy,
            custom: None,
        }
    }
}

impl From<Vec<Duration>> for RetryPolicy {
    fn from(delays: Vec<Duration>) -> Self {
        ReconnectPolicy::Delays(delays.into()).into()
    }
}

impl core::fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("RetryPolicy").field(&self.policy).finish()
    }
}

/// The custom part of a policy.
#[derive(Clone)]
pub(crate) struct Decider(CustomPolicy);

impl Decider {
    pub(crate) fn decide(&self, context: &RetryContext) -> Option<Duration> {
        catch_unwind(AssertUnwindSafe(|| (self.0)(context))).unwrap_or_else(|_| {
            tracing::error!("the reconnect policy panicked, which gives up the connection");
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn token<F, Fut>(provide: F) -> Result<Option<String>, Box<str>>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoToken> + Send + 'static,
    {
        let token = TokenProvider::new(provide)
            .ask()
            .now_or_never()
            .expect("it waits for nothing")?;
        Ok(token.map(|token| token.expose().to_owned()))
    }

    #[test]
    fn providers_return_tokens_options_and_results() {
        assert_eq!(token(|| async { String::from("t") }), Ok(Some("t".into())));
        assert_eq!(token(|| async { None::<String> }), Ok(None));
        assert_eq!(
            token(|| async { Ok::<_, std::io::Error>(String::new()) }),
            Ok(None)
        );
        assert_eq!(
            token(|| async { Err::<String, _>("no login") }),
            Err("no login".into())
        );
        assert_eq!(
            token(|| async { Err::<Option<String>, _>("no login") }),
            Err("no login".into())
        );
    }

    #[test]
    fn a_panicking_provider_or_policy_fails_and_does_no_harm() {
        assert_eq!(
            token(|| async { panic!("oh") as String }),
            Err("it panicked".into())
        );
    }
}
