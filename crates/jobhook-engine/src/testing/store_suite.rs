//! The contract of a store, case by case.
//!
//! Each case proves the sentence that is its name, on a fresh store. They are grouped as a
//! store's work is; [`store_suite!`](crate::store_suite) lists them all.

#![allow(
    clippy::unwrap_used,
    clippy::missing_errors_doc,
    reason = "test code: a failure is to stop the test"
)]
#![allow(missing_docs, reason = "the name of a case is its sentence")]

pub mod batch;
pub mod cancel;
pub mod claim;
pub mod close;
pub mod content;
pub mod day;
pub mod delivery;
pub mod files;
pub mod inputs;
pub mod launch;
pub mod limit;
pub mod log;
pub mod object;
pub mod prune;
pub mod query;
pub mod reopen;
pub mod report;
pub mod retry;
pub mod schedule;
pub mod small;
pub mod timeout;

use std::path::Path;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;

use super::Clerk;
use crate::log::LogLimits;
use crate::store::Store;

/// Little enough that a case can fill it.
pub const SMALL_LOG: LogLimits = LogLimits {
    lines: 10,
    bytes: 100,
};

/// Runs a case on a fresh store; `open` gets a directory of its own.
pub async fn run<S: Store>(
    open: impl AsyncFn(&Path, LogLimits) -> S,
    limits: LogLimits,
    case: impl AsyncFnOnce(Clerk),
) {
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(open(directory.path(), limits).await);
    case(Clerk::new(store)).await;
}

/// Where a store is kept while a case opens it as often as it likes.
pub struct Place {
    open: Box<dyn Fn() -> LocalBoxFuture<'static, Arc<dyn Store>>>,
}

impl Place {
    /// Opens the store that was let go here, or a new one.
    pub async fn open(&self) -> Clerk {
        Clerk::new((self.open)().await)
    }
}

/// Runs a case on a place where the store keeps what it holds.
pub async fn run_reopening<S: Store>(
    open: impl AsyncFn(&Path, LogLimits) -> S + 'static,
    case: impl AsyncFnOnce(Place),
) {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let open = Arc::new(open);
    let kept = Arc::clone(&directory);
    case(Place {
        open: Box::new(move || {
            let (open, directory) = (Arc::clone(&open), Arc::clone(&directory));
            Box::pin(async move {
                let store = open(directory.path(), LogLimits::default()).await;
                Arc::new(store) as Arc<dyn Store>
            })
        }),
    })
    .await;
    drop(kept);
}

/// Runs every case of the contract against a store, one named test a case.
///
/// `open` is an `async fn(&Path, LogLimits) -> impl Store`; the path is a directory of the
/// case's own. `store_suite!(open, reopens)` also runs the cases of stores that hold, when
/// they are opened again, what they held before.
#[macro_export]
macro_rules! store_suite {
    ($open:path) => {
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), launch =>
            a_new_action_is_queued
            an_action_for_later_is_scheduled
            a_time_that_has_passed_means_at_once
            what_was_launched_reads_back_whole
            an_action_that_was_not_stored_is_not_there
            an_id_is_taken_once
            an_action_that_cannot_run_is_stored_as_an_error
            a_mebibyte_of_arguments_is_kept_to_the_byte
            a_batch_of_nothing_is_answered_with_nothing
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), claim =>
            a_claimed_action_is_starting_and_its_attempt_is_open
            an_attempt_remembers_who_took_it_and_how
            an_action_is_claimed_once
            claims_at_once_share_nothing
            an_action_is_not_claimed_before_its_time
            what_is_due_longest_is_claimed_first
            the_longest_due_of_several_types_is_claimed_first
            a_claim_takes_only_its_types
            a_claim_leaves_the_types_it_excepts
            a_claim_takes_one_action_for_each_nonce
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), batch =>
            a_claim_sees_what_its_batch_inserted
            a_whole_life_fits_into_one_batch
            a_cancelled_action_is_not_claimed_later_in_its_batch
            a_retry_is_claimed_later_in_its_batch
            a_refusal_does_not_fail_its_batch
            a_refused_report_leaves_nothing
            many_actions_change_in_one_batch
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), report =>
            a_report_stores_what_it_says
            a_heartbeat_changes_the_attempt_only
            a_heartbeat_stays_announced
            null_clears_results_and_details
            results_may_grow_large_and_small_again
            progress_sets_its_own_keys_of_the_details
            progress_replaces_details_that_have_no_keys
            a_count_without_a_total_takes_that_of_the_last_one_away
            a_job_may_speak_before_its_start_was_seen
            success_is_final_at_once
            the_error_of_the_last_try_is_final_at_once
            a_final_word_stands
            a_final_word_may_be_repeated
            lines_after_the_final_word_are_kept
            a_report_of_an_unknown_attempt_is_refused
            a_report_of_a_closed_attempt_is_refused
            a_report_of_an_older_attempt_is_superseded
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), delivery =>
            a_report_that_comes_twice_counts_once
            a_report_that_comes_twice_in_one_batch_counts_once
            a_report_without_a_number_counts_each_time
            a_resent_final_word_is_a_duplicate
            a_late_report_gives_its_lines_only
            a_skipped_report_is_taken_later_and_once
            a_window_full_of_gaps_is_remembered
            a_report_ahead_of_the_window_is_refused
            a_report_behind_the_window_is_refused
            a_seq_of_zero_is_refused
            each_reporter_counts_for_itself
            a_reporter_counts_anew_in_a_new_attempt
            reporters_at_once_lose_and_double_nothing
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), log =>
            lines_are_numbered_over_all_sources_and_attempts
            a_line_keeps_its_time_and_source
            a_page_begins_behind_the_last_line_seen
            logs_of_different_actions_do_not_mix
            a_thousand_lines_fit_into_one_write
            text_keeps_every_character
            output_with_a_nul_is_kept_with_a_replacement
            output_is_stored_once
            output_that_skips_a_stretch_is_refused
            output_without_lines_moves_the_offset
            the_mark_of_output_stays_until_the_next
            output_is_taken_until_the_attempt_closes
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), cancel =>
            what_waits_is_cancelled_at_once
            what_runs_is_marked_only
            the_first_cancel_stands
            what_is_final_is_not_cancelled
            a_success_said_after_the_mark_stands
            an_error_said_after_the_mark_means_cancelled
            any_other_end_after_the_mark_means_cancelled
            an_error_with_tries_left_and_then_cancelled_is_not_tried_again
            what_could_not_be_started_under_the_mark_is_cancelled
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), close =>
            a_silent_job_that_exits_with_0_succeeded
            a_silent_job_that_ends_otherwise_failed
            without_auto_status_silence_is_an_error
            a_job_that_said_running_only_is_judged_by_its_end
            a_success_that_ends_badly_stands_and_the_witnesses_disagree
            a_success_that_lingers_until_it_is_stopped_is_no_disagreement
            an_error_that_exits_with_0_stays_an_error
            what_was_seen_is_kept_as_it_was_seen
            an_attempt_closes_once_its_job_is_gone
            exit_code_0_is_no_success_without_the_results_that_are_needed
            a_start_seen_late_does_not_revive_a_final_action
            the_first_start_seen_counts
            results_and_details_outlive_the_close
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), retry =>
            a_failed_try_is_due_again_at_once
            tries_end_with_the_last
            a_success_ends_the_tries
            an_error_said_with_tries_left_stays_live_until_the_close
            an_error_said_with_tries_left_is_not_taken_back
            a_new_attempt_begins_clean
            each_attempt_keeps_its_own_end
            a_lost_job_is_tried_again
            what_could_not_be_started_is_not_tried_again
            a_try_that_ran_too_long_is_tried_again
            the_queue_timeout_of_a_try_counts_from_its_due_time
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), timeout =>
            what_is_not_taken_in_time_expires
            what_was_taken_does_not_expire
            the_first_to_expire_is_named_first
            the_queue_timeout_counts_from_the_due_time_and_the_total_from_launch
            the_timeout_that_fired_names_the_end
            a_job_that_had_its_last_word_is_not_timed_out
            a_job_that_ended_in_time_is_judged_by_its_end_however_late_that_is_seen
            a_success_said_between_timeout_and_end_stands
            an_error_said_between_timeout_and_end_is_a_timeout
            after_its_total_timeout_nothing_is_tried_again
            an_announced_heartbeat_is_in_the_sentence
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), query =>
            a_list_gives_whole_actions
            pages_go_back_from_the_newest_launch
            a_list_that_has_its_weight_ends_with_the_action_that_comes_after
            a_list_can_be_of_one_type
            a_list_can_be_of_several_statuses
            the_newest_attempt_of_each_action_is_read
            an_action_that_was_not_taken_has_no_attempts
            open_attempts_are_those_that_did_not_close
            the_next_wake_is_the_next_due_time
            the_next_wake_is_the_next_expiry_too
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), prune =>
            what_ended_long_ago_is_removed
            an_age_counts_from_the_end_and_not_from_the_launch
            of_too_many_the_last_launched_are_kept
            each_status_has_its_own_rule
            what_is_beyond_one_of_two_limits_is_beyond
            without_a_rule_everything_is_kept
            what_is_not_over_is_never_removed
            one_call_removes_no_more_than_asked_and_the_first_launched_first
            everything_of_a_removed_action_goes_and_nothing_of_another
            a_long_log_goes_with_its_action
            the_files_of_a_removed_action_go_with_it
            a_content_that_another_has_is_kept_when_one_goes
            many_files_go_with_their_actions
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), files =>
            a_file_reads_back_whole
            a_file_that_is_not_there_is_not_found
            files_are_numbered_in_each_property_as_they_come
            the_same_content_under_the_same_name_is_attached_once
            a_content_without_a_name_is_attached_once_too
            a_content_that_is_stored_already_leaves_the_blob_that_came_over
            an_attach_that_comes_twice_leaves_no_blob_over
            what_is_attached_is_staged_no_more
            a_content_that_is_not_there_is_refused
            a_job_attaches_as_long_as_its_attempt_is_open
            several_files_are_attached_in_one_batch
            files_are_listed_by_property_then_index
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), object =>
            an_action_is_an_object_as_long_as_it_is_there
            an_object_is_made_where_that_is_asked_for
            an_object_is_put_once
            an_object_has_no_more_than_it_may
            what_is_refused_for_a_limit_leaves_nothing
            objects_are_listed_by_id
            an_object_is_taken_away_with_its_files
            an_action_is_not_taken_away_as_an_object
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), content =>
            what_is_staged_reads_back
            what_is_staged_twice_stays_as_it_was
            what_is_unstaged_is_gone
            a_batch_sees_what_it_staged
            a_content_is_found_by_its_md5_with_its_challenge
            what_is_stored_is_counted_once_each_with_what_is_staged
            a_content_is_idle_when_its_last_file_goes
            an_idle_content_that_is_attached_again_is_not_forgotten
            a_content_that_was_forgotten_comes_anew_as_another_blob
            an_attach_and_a_sweep_at_once_agree
            what_is_staged_too_long_is_forgotten
            what_is_unused_longest_is_forgotten_first_and_contents_before_the_staged
            a_blob_is_wanted_as_long_as_it_is_a_contents_or_staged
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), small =>
            the_bytes_of_a_small_blob_come_with_its_content
            small_bytes_that_are_staged_stay_when_they_are_attached
            small_bytes_that_are_over_are_not_kept
            small_bytes_of_what_is_refused_are_not_kept
            small_bytes_go_with_what_is_unstaged
            small_bytes_go_with_what_is_forgotten
            small_bytes_that_come_again_are_there_again
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), inputs =>
            staged_files_become_the_inputs_of_an_action
            a_launch_with_a_file_that_is_not_staged_is_refused_whole
            a_launch_with_an_id_that_is_taken_leaves_its_files_staged
            one_staged_file_may_be_several_inputs
            one_staged_file_belongs_to_one_of_two_launches_in_a_batch
            staged_bytes_that_are_stored_already_stay_staged
            the_same_bytes_staged_twice_are_stored_once
            a_launch_has_no_more_files_than_it_may
            an_action_may_have_the_inputs_of_another
            the_inputs_of_what_is_gone_or_has_none_are_none
            an_action_may_have_the_inputs_of_another_in_its_batch
            grants_read_back_as_they_were_given
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), schedule =>
            a_schedule_reads_back_whole_and_starts_from_now
            the_same_definition_again_changes_nothing
            a_changed_definition_is_a_new_revision_from_now
            what_the_configuration_made_only_it_changes
            a_deleted_schedule_is_gone_and_its_history_stays
            a_tick_launches_what_the_schedule_says
            a_moment_is_decided_once
            an_older_revision_does_not_fire
            many_missed_moments_are_one_tick
            skip_launches_nothing_beside_a_live_action
            a_pending_retry_is_live
            allow_launches_beside_a_live_action
            queue_launches_one_when_the_one_before_closes
            cancel_running_cancels_the_one_before_and_starts_when_it_has_closed
            a_paused_schedule_does_not_fire_and_its_history_says_so
            nothing_that_waits_is_launched_while_paused
            a_pause_without_a_note_leaves_the_note_that_is_there
            what_no_runner_took_was_not_missed_by_a_pause
            a_run_by_hand_goes_past_what_a_pause_holds_back
            where_a_newer_tick_replaces_an_older_one_a_run_by_hand_does_too
            what_waits_is_skipped_when_the_schedule_is_deleted
            a_run_by_hand_is_a_tick_of_its_own
            an_unknown_schedule_is_refused
            a_page_of_ticks_goes_back_from_the_newest
        }
        $crate::store_suite! { @group $open, $crate::log::LogLimits::default(), day =>
            three_servers_fire_each_minute_of_a_day_once
        }
        $crate::store_suite! { @group $open, $crate::testing::store_suite::SMALL_LOG, limit =>
            the_oldest_lines_are_dropped_beyond_the_limit
            one_write_may_exceed_the_limit
            the_limit_counts_bytes_too
            a_log_of_exactly_the_limit_is_whole
            a_line_larger_than_the_limit_leaves_an_empty_log
            each_log_is_limited_by_itself
        }
    };
    ($open:path, reopens) => {
        $crate::store_suite!($open);

        mod reopen {
            use super::*;
            $crate::store_suite! { @reopen $open =>
                everything_answered_survives_reopening
                reports_are_still_applied_once_after_reopening
                an_id_stays_taken_after_reopening
                an_installation_keeps_its_id
                files_survive_reopening
            }
        }
    };
    (@group $open:path, $limits:expr, $group:ident => $($case:ident)+) => {
        mod $group {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    use $crate::testing::store_suite::{$group, run};
                    run($open, $limits, $group::$case).await;
                }
            )+
        }
    };
    (@reopen $open:path => $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                use $crate::testing::store_suite::{reopen, run_reopening};
                run_reopening($open, reopen::$case).await;
            }
        )+
    };
}
