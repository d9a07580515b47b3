//! The request bodies of the functions. They are in the functions' own folders, and a function is a program that nothing
//! can import: their files are compiled here a second time.

#[path = "../../../functions/create-invite-token/src/route.rs"]
pub mod create_invite_token;
#[path = "../../../functions/create-key/src/route.rs"]
pub mod create_key;
#[path = "../../../functions/create-tenant/src/route.rs"]
pub mod create_tenant;
#[path = "../../../functions/create-trigger/src/route.rs"]
pub mod create_trigger;
#[path = "../../../functions/preview-sms/src/route.rs"]
pub mod preview_sms;
#[path = "../../../functions/register-app/src/route.rs"]
pub mod register_app;
#[path = "../../../functions/replay-deliveries/src/route.rs"]
pub mod replay_deliveries;
#[path = "../../../functions/resolve-message/src/route.rs"]
pub mod resolve_message;
#[path = "../../../functions/rotate-key/src/route.rs"]
pub mod rotate_key;
#[path = "../../../functions/update-app/src/route.rs"]
pub mod update_app;
#[path = "../../../functions/update-tenant/src/route.rs"]
pub mod update_tenant;
