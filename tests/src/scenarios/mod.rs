//! The list.

mod calls;
mod connecting;
mod lifecycle;
mod server_calls;
mod streams;
mod types;
mod uploads;

use crate::{Need, Platform, Running, Scenario, Session};

/// Names a scenario by its function.
macro_rules! scenarios {
    ($($need:ident: $($module:ident::$function:ident),+;)+) => {
        vec![$($(Scenario {
            name: stringify!($function),
            needs: Need::$need,
            run: |session: Session<R>| -> Running { Box::pin($module::$function(session)) },
        }),+),+]
    };
}

pub(crate) fn all<R: Platform>() -> Vec<Scenario<R>> {
    scenarios! {
        Basic:
            lifecycle::connects_has_an_id_and_stops,
            lifecycle::a_second_start_is_refused_and_harmless,
            lifecycle::starts_again_after_a_stop,
            lifecycle::stops_in_every_state,
            lifecycle::stays_connected_by_pings,
            lifecycle::calls_before_start_and_after_stop_are_refused,
            lifecycle::a_stop_from_inside_a_handler_works,
            lifecycle::the_last_handle_stops_the_connection,
            lifecycle::is_closed_by_the_hub_without_reconnecting,
            lifecycle::hears_what_the_hub_says_first,
            lifecycle::a_start_that_cannot_connect_says_so,
            connecting::skips_negotiation,
            connecting::a_hub_with_this_transport_alone_is_used,
            calls::results_come_back,
            calls::text_of_every_kind_comes_back,
            calls::void_null_and_renamed_methods_work,
            calls::five_hundred_calls_in_flight_are_kept_apart,
            calls::calls_are_sent_in_order,
            calls::sends_arrive,
            calls::a_dropped_call_disturbs_nothing,
            calls::a_deadline_ends_one_call,
            calls::a_mebibyte_comes_back,
            calls::more_than_fits_waits_for_room,
            streams::items_come_in_order,
            streams::several_streams_run_at_once,
            streams::a_dropped_stream_is_cancelled,
            streams::an_item_of_the_wrong_type_ends_its_stream_only,
            uploads::numbers_are_summed,
            uploads::two_streams_of_one_call_advance_side_by_side,
            uploads::streams_run_both_ways,
            uploads::a_failing_upload_is_reported,
            uploads::a_call_that_is_given_up_ends_its_uploads,
            uploads::dynamic_arguments_may_hold_streams,
            server_calls::calls_come_in_order,
            server_calls::slow_handlers_keep_the_order_and_do_not_block_calls,
            server_calls::several_arguments_and_handlers_work,
            server_calls::the_servers_questions_are_answered,
            server_calls::a_removed_handler_is_silent;
        DotNet:
            lifecycle::is_turned_away_by_a_hub,
            lifecycle::a_message_over_the_servers_limit_ends_the_connection_and_its_calls,
            calls::failures_have_the_servers_words,
            streams::failures_of_streams_have_the_servers_words,
            uploads::wrong_uploads_have_the_servers_words,
            server_calls::questions_without_an_answer_get_the_official_texts,
            types::every_simple_type_comes_back,
            types::a_record_of_every_type_comes_back;
        Redirects:
            connecting::the_servers_favourite_is_taken_or_the_next_that_works,
            connecting::a_redirect_is_followed,
            connecting::bad_answers_to_negotiate_are_told_apart;
        Auth:
            connecting::tokens_are_used_and_refused,
            connecting::headers_and_query_are_sent,
            lifecycle::an_expired_token_is_replaced;
        Admin:
            lifecycle::a_cut_connection_comes_back,
            lifecycle::calls_wait_and_are_repeated_over_a_cut,
            lifecycle::a_stateful_connection_outlives_its_web_sockets,
            lifecycle::a_custom_policy_decides,
            lifecycle::a_lost_connection_without_policy_is_closed;
    }
}
