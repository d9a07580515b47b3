//! Where the errors are tested that `errors.rs` does not cause itself, and why some cannot be caused.

/// Route, codes, and the test that covers them, as `file::test`.
pub const ELSEWHERE: &[(&str, &[&str], &str)] = &[
    (
        "POST /v1/rc/connect",
        &["missing_field", "link_unknown", "link_expired"],
        "connect::invalid_links_show_the_reason",
    ),
    (
        "POST /v1/rc/connect",
        &["link_used"],
        "connect::a_link_is_bound_to_the_first_browser_in_which_its_button_is_pressed",
    ),
    ("GET /v1/rc/connect", &["link_exhausted"], "connect::a_link_can_be_tried_only_a_few_times"),
    ("HEAD /v1/rc/connect", &["link_exhausted"], "connect::a_link_can_be_tried_only_a_few_times"),
    ("POST /v1/rc/connect", &["link_exhausted"], "connect::a_link_can_be_tried_only_a_few_times"),
    ("GET /v1/rc/callback", &["link_exhausted"], "connect::a_link_can_be_tried_only_a_few_times"),
    ("POST /v1/rc/connect", &["cross_site"], "connect::the_button_works_only_on_its_own_page"),
    (
        "POST /v1/rc/connect",
        &["tenant_suspended"],
        "connect::a_suspended_tenant_is_rejected_and_keeps_its_data",
    ),
    (
        "GET /v1/rc/callback",
        &["tenant_suspended"],
        "connect::a_suspended_tenant_is_rejected_and_keeps_its_data",
    ),
    (
        "GET /v1/rc/callback",
        &["missing_field", "invalid_state"],
        "connect::a_callback_needs_the_state_and_the_cookie_of_its_flow",
    ),
    (
        "GET /v1/rc/callback",
        &["already_handled"],
        "connect::a_callback_replayed_in_parallel_exchanges_its_code_once",
    ),
    (
        "GET /v1/rc/callback",
        &["access_denied", "provider_error"],
        "connect::denying_access_does_not_use_up_the_link",
    ),
    ("GET /v1/rc/callback", &["code_refused"], "connect::a_code_of_another_flow_is_rejected_by_pkce"),
    (
        "GET /v1/rc/callback",
        &["exchange_failed"],
        "connect_faults::after_a_failed_code_exchange_the_user_can_start_again",
    ),
    (
        "GET /v1/rc/callback",
        &["provider_misconfigured"],
        "connect_faults::a_misconfigured_app_raises_an_alarm",
    ),
    (
        "GET /v1/rc/callback",
        &["connected_elsewhere"],
        "connect::an_extension_of_another_tenant_is_refused_and_its_grant_is_untouched",
    ),
    (
        "POST /v1/tenants",
        &["idempotency_in_progress", "idempotency_key_reused"],
        "tenancy::requests_with_one_idempotency_key_create_one_tenant",
    ),
    (
        "POST /v1/apps/{appId}/rotate-webhook-secret",
        &["webhook_secret_limit"],
        "webhooks::every_replaced_secret_signs_until_the_end_of_its_own_overlap",
    ),
    ("POST /v1/sms/send", &["sender_unknown"], "send::every_invalid_request_gets_its_error"),
    (
        "POST /v1/sms/send",
        &["recipient_opted_out"],
        "consents::keywords_decide_whether_a_recipient_can_be_written_to",
    ),
    (
        "POST /v1/sms/send",
        &["sender_cannot_mms", "invalid_media_url", "invalid_media_id", "media_too_large"],
        "media::requests_with_invalid_media_are_rejected_and_send_nothing",
    ),
    (
        "POST /v1/sms/send",
        &["media_pending"],
        "media::an_upload_is_sent_as_often_as_wanted_and_its_bytes_cannot_change",
    ),
    (
        "POST /v1/media",
        &["invalid_field", "missing_field", "media_type_unsupported", "media_too_large"],
        "media::requests_with_invalid_media_are_rejected_and_send_nothing",
    ),
    (
        "GET /v1/media/{mediaId}",
        &["media_pending"],
        "media::an_upload_is_sent_as_often_as_wanted_and_its_bytes_cannot_change",
    ),
    (
        "GET /v1/media/{mediaId}",
        &["media_gone"],
        "media::files_that_cannot_be_sent_end_their_message_without_a_call_of_ringcentral",
    ),
    (
        "POST /v1/sms/send",
        &["idempotency_in_progress", "idempotency_key_reused"],
        "send::fifty_requests_with_one_idempotency_key_send_one_message",
    ),
    (
        "POST /v1/sms/preview",
        &["invalid_media_url", "invalid_media_id", "invalid_field"],
        "media::requests_with_invalid_media_are_rejected_and_send_nothing",
    ),
    (
        "POST /v1/sms/{messageId}/cancel",
        &["message_state"],
        "send::a_scheduled_message_waits_and_can_be_canceled",
    ),
    (
        "POST /v1/sms/{messageId}/resolve",
        &["message_state"],
        "send_trouble::a_message_that_ringcentral_never_received_is_unknown_until_the_tenant_resolves_it",
    ),
    (
        "POST /v1/quarantine/{recordId}/retry",
        &["record_unreadable"],
        "quarantine::the_operator_lists_reads_retries_and_deletes_quarantined_records",
    ),
];

/// Errors shown to browsers, tested in `errors.rs`.
pub const OF_BROWSERS: &[(&str, &[&str])] = &[
    (
        "GET /v1/rc/connect",
        &["missing_field", "link_unknown", "link_expired", "link_used", "unavailable", "internal"],
    ),
    (
        "HEAD /v1/rc/connect",
        &["missing_field", "link_unknown", "link_expired", "link_used", "unavailable", "internal"],
    ),
    ("POST /v1/rc/connect", &["unavailable", "internal"]),
    ("GET /v1/rc/callback", &["link_used", "unavailable", "internal"]),
];

/// Errors that no request can cause, and why they are in the catalogue.
pub const NEVER: &[(&str, &str, &str)] = &[
    ("GET /health", "internal", "it looks at nothing that could be wrong"),
    ("GET /openapi.json", "internal", "it shows what was written when it was built"),
    ("GET /docs", "internal", "it shows what was written when it was built"),
    ("GET /health/ready", "internal", "whatever is wrong with a store, it is not ready"),
    ("GET /v1/rc/connected", "internal", "the page reports success whatever is lost"),
    ("GET /v1/rc/connected", "unavailable", "the page reports success whatever is lost"),
];
