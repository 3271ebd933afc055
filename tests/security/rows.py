# SPDX-License-Identifier: Apache-2.0
"""Which tests are for which line of the table of threats in SECURITY.md, by its first words."""

from __future__ import annotations

TESTS: dict[str, tuple[str, ...]] = {
    "Bit rot": (
        "test_bit_rot_is_refused",
        "test_truncated_copy_is_refused",
        "test_git_lfs_stub_is_refused",
        "test_a_save_killed_at_any_instant_leaves_the_old_model_or_the_new_one",
    ),
    "A careless edit": (
        "test_careless_edit_by_h5py_is_refused",
        "test_careless_edit_by_zipfile_is_refused",
    ),
    "An attacker edits": (
        "test_edit_under_a_kept_signed_seal_is_refused",
        "test_recomputed_seal_after_an_edit_is_refused_where_signatures_are_required",
        "test_signature_transplanted_from_another_model_is_refused",
        "test_model_signed_by_a_stranger_is_refused",
        "test_detached_bundle_of_another_model_is_refused",
        "test_gadget_of_an_advisory_is_refused_before_anything_is_deserialized",
        "test_weights_of_an_advisory_are_refused_before_they_are_read",
    ),
    "Stripping": (
        "test_stripped_signature_is_refused",
        "test_stripped_seal_is_refused",
        "test_stripped_file_beside_a_model_is_missed",
        "test_a_stripped_model_is_told",
    ),
    "Downgrade": (
        "test_downgraded_algorithm_is_refused",
        "test_algorithm_that_is_none_is_refused",
        "test_other_format_version_is_refused",
        "test_container_type_confusion_is_refused",
        "test_container_renamed_under_its_signature_is_refused",
    ),
    "Swap after the check": (
        "test_model_swapped_after_the_check_is_not_what_is_loaded",
        "test_model_written_over_in_place_after_the_check_is_refused",
        "test_symbolic_link_flipped_while_models_are_loaded_never_yields_the_unsigned_one",
        "test_a_file_rewritten_during_its_load_never_yields_unsealed_values",
    ),
    "Mix and match": (
        "test_mix_and_match_of_two_signed_archives_is_refused",
        "test_mix_and_match_of_two_signed_sets_is_refused",
        "test_sidecars_swapped_between_two_signed_models_are_refused",
    ),
    "Path confusion": (
        "test_signed_model_placed_at_another_models_path_is_refused",
        "test_model_renamed_under_its_signature_is_refused",
        "test_symbolic_link_does_not_lead_a_model_out_of_its_rule",
    ),
    "Rollback": (
        "test_rollback_to_an_older_signed_version_is_refused",
        "test_version_raised_under_its_signature_is_refused",
        "test_frozen_model_past_its_expiry_is_refused",
        "test_frozen_model_older_than_the_policy_allows_is_refused",
        "test_an_older_version_is_told",
        "test_older_version_than_the_highest_ever_promoted_is_a_rollback",
        "test_older_version_put_in_the_place_of_the_newest_is_refused",
    ),
    "A stolen key": (
        "test_stolen_key_that_was_revoked_signs_nothing_more",
        "test_recalled_model_is_refused_in_whatever_seal",
        "test_recalled_model_is_refused_although_a_detached_signature_of_it_is_left",
        "test_recalled_content_comes_back_in_no_other_seal",
        "test_recall_of_a_key_is_one_of_all_that_it_signed",
    ),
    "Events of a registry": (
        "test_a_replayed_event_is_refused",
        "test_event_that_is_handed_in_again_changes_nothing",
        "test_registry_of_the_same_people_is_another_one",
        "test_roles_that_cannot_be_met_or_count_one_key_twice_are_refused",
        "test_new_roles_need_those_who_administer_now",
    ),
    "A registry that edits": (
        "test_database_that_was_put_back_is_refused_and_both_pasts_are_told",
        "test_registry_that_forgets_is_a_fork",
        "test_registry_that_tells_each_another_past_is_a_fork",
        "test_freeze_hides_a_recall_only_until_the_freshness_ends",
    ),
    "A registry that does not answer": (
        "test_registry_that_is_cut_off_serves_until_its_answers_are_too_old",
        "test_answer_serves_through_an_outage_and_not_for_ever",
        "test_dead_registry_costs_its_time_out_once_a_minute",
    ),
    "What is sent to a registry": (
        "test_a_body_of_a_gigabyte_is_refused_and_not_read",
        "test_ten_thousand_events_in_one_post_are_refused",
        "test_sql_and_html_in_a_field_of_an_event_is_refused",
        "test_text_of_strangers_is_shown_as_it_is",
    ),
    "The server that trust files": (
        "test_a_key_for_timestamps_alone_decides_nothing",
        "test_a_stolen_server_cannot_let_a_publisher_sign_its_files",
    ),
    "A malicious model by a valid author": (
        "test_one_trusted_signer_is_not_enough_where_two_must_sign",
        "test_signer_who_is_trusted_for_other_models_is_refused",
        "test_every_malicious_model_is_found",
        "test_attack_is_refused_before_the_model_is_built",
        "test_strict_takes_no_word",
        "test_what_was_inspected_of_an_unsealed_model_is_what_is_loaded",
        "test_what_a_model_tries_is_told_and_the_verdict_on_it_refuses_it_everywhere",
    ),
    "A model that exhausts the machine": (
        "test_dataset_that_declares_more_than_is_stored_is_a_bomb",
        "test_archive_that_grows_a_hundredfold_is_a_bomb",
        "test_constant_that_repeats_a_value_without_end_is_a_bomb",
        "test_bombs_end_by_their_limit",
    ),
    "Code of a model that wants out": (
        "test_files_of_others_are_neither_read_nor_listed",
        "test_there_are_no_sockets",
        "test_there_are_no_other_processes",
        "test_others_are_not_signalled_traced_or_limited",
        "test_calls_that_no_model_needs_are_refused",
        "test_answers_that_attack_are_one_error",
    ),
    "A vetter's word": (
        "test_word_on_another_model_does_not_count",
        "test_word_of_strangers_does_not_count",
        "test_word_of_a_vetter_who_counts_no_more",
        "test_verdict_that_another_user_could_have_written_does_not_count",
    ),
    "A contract that is widened": (
        "test_a_contract_is_signed_with_the_seal_and_a_change_of_it_is_no_longer_signed",
        "test_no_contract_is_put_over_content_that_does_not_match",
    ),
    "A model is asked": (
        "test_what_breaks_a_rule_is_refused",
        "test_contract_in_the_seal_holds_for_what_is_loaded",
        "test_exports_refuse_bad_input_in_plain_tensorflow",
    ),
    "A crafted seal": (
        "test_crafted_seal_with_a_good_signature_in_it_is_refused",
        "test_chunk_table_of_another_model_under_a_good_signature_is_refused",
        "test_seal_that_claims_absurd_lengths_is_refused_without_allocating",
    ),
    "ZIP archives": (
        "test_zip_differential_of_a_signed_archive_is_refused",
        "test_second_member_of_one_name_in_a_signed_archive_is_refused",
    ),
    "HDF5 links": (
        "test_link_out_of_a_signed_hdf5_file_is_refused",
        "test_hdf5_that_points_elsewhere_is_refused",
    ),
    "Files that others can write": (
        "test_file_that_others_can_write_is_refused",
        "test_policy_or_trust_file_that_everybody_can_write_lets_nothing_be_loaded",
        "test_model_of_another_user_is_refused",
    ),
    "Downloads": (
        "test_download_that_anybody_on_the_way_can_change_is_refused",
        "test_redirect_to_plain_http_is_refused_before_a_connection",
    ),
    "Opting out": (
        "test_opt_out_by_environment_in_an_enforced_fleet_is_refused",
        "test_machine_policy_that_somebody_else_could_have_put_there_lets_nothing_be_loaded",
    ),
    "Log injection": (
        "test_log_injection_forges_no_line_and_no_message",
        "test_log_injection_by_a_reason_is_refused",
        "test_secrets_are_in_no_message_and_no_log",
    ),
    "The hook is silently not there": (
        "test_hook_that_is_not_active_is_noticed_by_a_program_that_asks",
        "test_rival_that_served_a_module_behind_our_back",
        "test_without_site_it_is_inactive",
    ),
    "A file system that serves": (
        "test_file_system_in_user_space_that_changes_its_mind_serves_no_unsigned_value",
        "test_no_lease_on_an_overlay_whose_layers_can_be_written",
        "test_large_file_of_a_set_without_a_lease_is_handed_over_as_a_copy",
    ),
    "Root, or a signer": (
        "test_writer_is_not_led_elsewhere_where_others_may_rename",
        "test_link_put_in_the_place_of_the_file_meanwhile_is_not_written_through",
        "test_root_rewrites_no_file_but_the_one_that_was_opened",
        "test_no_command_writes_through_a_link_that_it_meets",
    ),
    "`TMPDIR` in the hands of others": (
        "test_directory_renamed_away_is_not_what_its_path_leads_to",
        "test_program_of_the_same_user_that_interferes_is_found_out",
        "test_path_that_leads_out_of_a_private_directory_is_not_verified",
    ),
    "A model in a store": (
        "test_damaged_model_is_refused_under_its_url",
        "test_damaged_at_a_url_it_is_refused_under_the_url",
        "test_model_that_fails_the_policy_by_its_seal_is_not_downloaded",
        "test_set_that_changes_while_it_is_fetched_is_refused",
        "test_store_that_names_a_file_elsewhere_is_refused",
        "test_save_that_is_killed_leaves_the_old_model_or_the_new_one",
        "test_kill_at_any_operation_leaves_the_old_model_the_new_one_or_none",
    ),
    "Servers that read models in C++": (
        "test_an_init_container_lets_a_good_model_be_served_and_a_damaged_one_never",
        "test_a_program_beside_a_model_of_triton_is_not_served",
        "test_killed_half_way_it_leaves_nothing_that_is_served",
    ),
    "A store full of hostile objects": (
        "test_an_object_that_never_ends_is_read_as_far_as_the_store_said",
        "test_a_directory_that_lists_itself_ends_at_a_depth",
        "test_a_model_that_kills_its_worker_is_a_finding_and_the_others_have_theirs",
    ),
    "Names that look like our own": (
        "test_directory_that_was_given_a_name_of_ours_is_left_alone",
        "test_marker_of_another_directory_does_not_count",
        "test_a_save_that_something_planted_is_in_the_way_of_fails_and_loses_nothing",
        "test_a_load_takes_nothing_out_of_a_private_directory_that_was_renamed",
    ),
    "A location that means": (
        "test_file_in_a_directory_called_like_a_hub_is_checked",
        "test_rule_for_a_path_holds_for_a_spelling_that_looks_like_a_url",
        "test_unsealed_model_in_an_open_file_is_refused_where_a_seal_is_required",
        "test_file_put_at_the_name_of_an_open_one_is_not_what_is_checked",
        "test_hdf5_opened_in_a_way_that_cannot_be_checked_is_refused",
    ),
    "Old loaders": (
        "test_model_of_tensorflows_keras_is_sealed_checked_and_refused",
        "test_weights_of_tensorflows_keras_are_sealed_checked_and_refused",
        "test_checkpoint_restored_by_a_saver_is_checked",
        "test_what_reads_a_checkpoint_later_is_refused_where_a_seal_is_required",
    ),
    "A directory made to look": (
        "test_planted_files_hide_no_damaged_model",
        "test_planted_saved_model_does_not_hide_a_damaged_keras_directory",
        "test_index_of_another_program_is_no_checkpoint",
    ),
    "Small files": (
        "test_verify_is_cheap",
        "test_seal_is_cheap",
        "test_damage_is_found_cheaply",
        "test_maze_of_links_is_not_walked",
    ),
    "The package shadowed": (
        "test_absent_policy_below_directories_of_nobody_is_locked",
        "test_absence_below_a_directory_of_others_is_in_doubt",
        "test_shadow_package_on_the_path_is_not_loaded",
    ),
    "A recall by a file": (
        "test_root_that_a_file_merely_claims_is_not_recalled",
        "test_a_store_that_its_group_could_write_is_sealed_and_not_signed",
        "test_a_set_written_in_the_open_is_signed_only_if_nobody_else_could_write_it",
    ),
    "Another library": (
        "test_wrapper_on_top_of_ours_is_followed",
        "test_wrapper_that_does_not_tell_what_it_calls_is_said_to_hide_the_guard",
        "test_import_hook_that_rewrites_every_module_leaves_this_package_as_it_is",
    ),
}
