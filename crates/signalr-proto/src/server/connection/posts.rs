//! POSTs of the client's messages ([requirements](crate::spec::transports#post)). They are read one after the other, so that their
//! pieces do not mix.

use bytes::Bytes;
use http::StatusCode;

use super::link::Link;
use super::queues::Post;
use super::{ServerConnection, Timer};
use crate::server::Arrival;
use crate::server::answers::text;
use crate::transport::OpId;

const TOO_SLOW: &str = "The request body came too slowly.";

impl ServerConnection {
    pub(super) fn post_arrived(&mut self, arrival: &Arrival) {
        let refused = match self.link {
            Link::WebSocket { .. } | Link::Lost { .. } => Some(text(
                StatusCode::METHOD_NOT_ALLOWED,
                "POST requests are not allowed for WebSocket connections.",
            )),
            Link::None | Link::Events { .. } | Link::Polls(_) | Link::Over { .. } => {
                if self.state.closing().is_some() {
                    // It has yet to hear why, and one whose messages are refused might not ask any more.
                    Some(text(StatusCode::OK, ""))
                } else if !self.state.is_live() {
                    Some(arrival.gone())
                } else if self.posts.waiting.len() >= self.config.max_posts {
                    Some(text(StatusCode::TOO_MANY_REQUESTS, ""))
                } else {
                    None
                }
            }
        };
        if let Some(response) = refused {
            return self.respond(arrival.op, response);
        }
        self.posts.waiting.push_back(Post {
            op: arrival.op,
            early: Vec::new(),
            begun: false,
            complete: false,
        });
        self.watch_body();
    }

    pub(super) fn posted(&mut self, op: OpId, bytes: Bytes, last: bool) {
        if !self.has_room() {
            return;
        }
        if let Some(bytes) = self.posts.take(op, bytes, last) {
            self.keep(bytes);
        }
        self.settle_posts();
    }

    /// The client left its POST. What came of it stays, as it may have been read.
    pub(super) fn post_left(&mut self, op: OpId) {
        if self.posts.waiting.front().is_some_and(|post| post.op == op) {
            self.next_post();
        } else if let Some(index) = self.posts.waiting.iter().position(|post| post.op == op) {
            if let Some(post) = self.posts.waiting.remove(index) {
                let bytes: usize = post.early.iter().map(Bytes::len).sum();
                self.posts.early_bytes = self.posts.early_bytes.saturating_sub(bytes);
            }
        }
        self.settle_posts();
    }

    /// Answers the POSTs that were taken, as soon as not too much of them waits to be read
    /// ([TR-70](crate::spec::transports#tr-70)).
    pub(super) fn settle_posts(&mut self) {
        self.answer_posts();
        self.watch_body();
    }

    fn answer_posts(&mut self) {
        while self.incoming.bytes() <= self.config.application_max_buffer_size {
            let Some(Post {
                op, complete: true, ..
            }) = self.posts.waiting.front()
            else {
                return;
            };
            self.respond(*op, text(StatusCode::OK, ""));
            self.next_post();
        }
    }

    /// Sets the time by which more has to come of the POST in turn. While none is read nobody is waited for.
    pub(super) fn watch_body(&mut self) {
        if self.choked || self.posts.wanted().is_none() {
            self.posts.pace = None;
            return self.stop(Timer::Body);
        }
        let (since, came) = *self.posts.pace.get_or_insert((self.now, 0));
        let rate = self.config.minimum_body_rate;
        let time = rate.and_then(|rate| rate.time_for(came));
        self.timers
            .set(Timer::Body, time.map(|time| since.after(time)));
    }

    pub(super) fn post_too_slow(&mut self) {
        if let Some(op) = self.posts.wanted() {
            self.respond(op, text(StatusCode::BAD_REQUEST, TOO_SLOW));
            self.next_post();
            self.settle_posts();
        }
    }

    fn next_post(&mut self) {
        // They were counted when they came, so that nothing can go wrong here.
        for bytes in self.posts.shift() {
            self.keep(bytes);
        }
    }

    /// Nothing is read any more. The POST in turn may be why: if its client hears the reason in a Close message, a refusal of the POST
    /// would hide it.
    pub(super) fn refuse_posts(&mut self, explained: bool) {
        let posts = core::mem::take(&mut self.posts);
        for post in posts.waiting {
            let status = if explained && post.begun && !post.complete {
                StatusCode::OK
            } else {
                StatusCode::NOT_FOUND
            };
            self.respond(post.op, text(status, ""));
        }
    }
}
