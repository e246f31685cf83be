//! Clients that break every rule there is, over real sockets, against our test hubs as a process: nobody takes more memory than
//! stated, everybody is ended in time and told why, others go on as if nothing were, and in the end nothing is left.
//!
//! | what a client does | what becomes of it | memory beyond the idle server |
//! |---|---|---|
//! | no handshake, or a byte of it each second | `Handshake was canceled.` and 1000 after 15 s | 24 MiB for 280 slow clients |
//! | does not answer the close frame | dropped within 5 s | |
//! | request head or body without end, a byte each second | ended within 35 s: 408, 400 or cut | |
//! | 10,000 negotiations that nobody comes back for | good for 15 s, then 404 | 16 MiB |
//! | 70,000 negotiations | 503 beyond 65,536 | 64 MiB |
//! | 3,000 held polls | held; forgotten 15 s after their clients left | 128 MiB |
//! | 1,000 polls of one connection | each ends the one before with 204; the last brings what there is | 8 MiB |
//! | 300 posts to a connection that reads nothing | 64 are held, the others get 429 | 24 MiB |
//! | pings, cancels, items, answers, acks, unknown messages by the 100,000 | nothing; calls behind them are answered | 8 MiB |
//! | 200,000 WebSocket pings, nothing read | the newest are answered | 8 MiB |
//! | 50,000 groups, group names of 10 kB | 1,000 until they leave; joining more fails | 8 MiB |
//! | 5,000 streams | 1,000 run, the others fail with `Too many streams` | 16 MiB |
//! | calls or items for 400 MB of answers, nothing read | nothing more is taken from it, cut after 10 s | 16 MiB |
//! | reads nothing while 1 GB goes to it and four others together | cut when more waits for it than the budget, or after 10 s; the others wait for nothing longer than 2 s | 32 MiB |
//! | 60 clients tell each other 30 kB at once, three times | nobody is cut | 128 MiB |
//! | broken frames | 1002; 1007 for text that is none | 8 MiB |
//! | 200,000 fragments of a byte | answered | 16 MiB |
//! | 600 kB of a message on a hub of 32 KiB | the official Close message, then 1000 | 16 MiB |
//! | 60,000 calls in one WebSocket message | all answered, in order | 16 MiB |
//! | a request head of 1 MiB | 431, 414, 400 or cut | 16 MiB |
//! | an id or a target of 1 MiB, 1,000 headers in a message, even where messages have no limit | the official Close message, then 1000 | 24 MiB |
//! | a second WebSocket with a token | 409; with stateful reconnect it takes over | |
//! | another user's token | 403; without any user 401 | |
//! | a token of another hub, a guessed one, a connection's public id | 404 | |
//! | a foreign, `null` or look-alike `Origin` | 403 | |
//! | 20,000 connections opened and dropped anywhere | nothing is left of them | 48 MiB |
//! | 64 calls in flight | answers are not held back for 40 ms | |
//! | 10,000 idle connections for ten minutes (`SIGNALR_LONG=1`) | all stay | 160 MiB in total |
//!
//! Afterwards, within 20 s: at most 16 MiB more than before (32 MiB after 70,000 negotiations; an allocator keeps what it may need
//! again), two descriptors, eight threads, four tasks of the runtime. Crowds of polls and of idle connections come twice, and the second must not need much more.
//!
//! `SIGNALR_HOSTILE=official` plays the cases against Microsoft's server where both must behave alike, to see that the clients here
//! do what they seem to do; its memory is not judged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    reason = "tests fail by panicking"
)]

mod broadcast;
mod broken;
mod churn;
mod floods;
mod identity;
mod idle;
mod large;
mod raw;
mod server;
mod slow;
mod tinygrams;
mod waiting;

use std::sync::{Mutex, PoisonError};

fn run(case: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(case);
}

/// Cases that keep the machine busy run one after the other, since each has a time to keep.
fn alone(case: impl Future<Output = ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    run(case);
}

/// Cases that mostly wait do so together, whatever the number of tests at a time.
macro_rules! side_by_side {
    ($($case:path),* $(,)?) => {{
        let cases = [$((stringify!($case), std::thread::spawn(|| run($case())))),*];
        let failed = cases.map(|(name, case)| case.join().is_err().then_some(name));
        let failed: Vec<_> = failed.into_iter().flatten().collect();
        assert!(failed.is_empty(), "{failed:?} failed");
    }};
}

/// Its name makes it one of the first two, so that the others go on while it waits.
#[test]
fn a_crowd_that_only_waits_is_ended_in_time() {
    side_by_side!(
        slow::are_ended_in_time,
        waiting::negotiations_without_a_client_lapse,
        waiting::negotiations_without_end_are_refused,
        waiting::held_polls_cost_little,
        floods::of_items_stop_at_the_door,
        floods::of_calls_stop_at_the_door,
    );
}

macro_rules! alone {
    ($($name:ident: $case:path),* $(,)?) => {
        $(#[test]
        fn $name() {
            alone($case());
        })*
    };
}

alone! {
    of_many_polls_the_newest_wins: waiting::of_many_polls_the_newest_wins,
    held_posts_are_bounded: waiting::held_posts_are_bounded,
    floods_of_useless_messages_are_passed_over: floods::of_useless_messages_are_passed_over,
    floods_of_failing_calls_are_survived: floods::of_failing_calls_are_survived,
    floods_of_empty_frames_are_survived: floods::of_empty_frames_are_survived,
    floods_of_group_names_are_bounded: floods::of_group_names_are_bounded,
    floods_of_streams_are_bounded: floods::of_streams_are_bounded,
    floods_of_web_socket_pings_are_survived: floods::of_web_socket_pings_are_survived,
    a_broadcast_reaches_all_but_those_who_do_not_read: broadcast::reaches_all_but_those_who_do_not_read,
    a_broadcast_of_all_to_all_cuts_nobody: broadcast::of_all_to_all_cuts_nobody,
    broken_frames_end_with_their_code: broken::frames_end_with_their_code,
    broken_frames_do_no_harm_to_what_came_before: broken::frames_do_no_harm_to_what_came_before,
    close_codes_are_answered: broken::close_codes_are_answered,
    fragments_of_one_byte_are_read: broken::fragments_of_one_byte_are_read,
    a_message_without_end_is_refused: broken::a_message_without_end_is_refused,
    a_long_message_of_short_records_is_answered: broken::a_long_message_of_short_records_is_answered,
    pings_are_answered_in_the_middle_of_a_message: broken::pings_are_answered_in_the_middle_of_a_message,
    large_heads_are_refused: large::heads_are_refused,
    large_names_in_messages_are_refused: large::names_in_messages_are_refused,
    large_arguments_are_taken_where_they_may_be_large: large::arguments_are_taken_where_they_may_be_large,
    a_second_socket_is_refused: identity::a_second_socket_is_refused,
    a_second_socket_takes_over: identity::a_second_socket_takes_over,
    a_token_serves_its_user_alone: identity::a_token_serves_its_user_alone,
    a_token_serves_its_hub_alone: identity::a_token_serves_its_hub_alone,
    foreign_origins_are_refused: identity::foreign_origins_are_refused,
    guessed_tokens_are_not_found: identity::guessed_tokens_are_not_found,
    churn_leaves_nothing_behind: churn::leaves_nothing_behind,
    tinygrams_are_not_held_back: tinygrams::are_not_held_back,
    idle_clients_cost_little_and_stay: idle::clients_cost_little_and_stay,
}
