//! Requests and answers that are there as a whole.

use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body::{Body, Frame};

use super::error::{TestError, broken};
use crate::body::HubBody;
use crate::error::BodyError;

pub(super) async fn whole(response: Response<HubBody>) -> Result<Bytes, TestError> {
    let mut body = pin!(response.into_body());
    let mut whole = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(bytes) = frame.map_err(broken)?.into_data() {
            whole.extend_from_slice(&bytes);
        }
    }
    Ok(whole.freeze())
}

/// A request's body that is here already.
pub(super) struct Whole(pub(super) Bytes);

impl Body for Whole {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let bytes = std::mem::take(&mut self.0);
        let frame = (!bytes.is_empty()).then(|| Ok(Frame::data(bytes)));
        std::task::Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}
