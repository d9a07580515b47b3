//! A client for RingCentral's authentication and messaging, complete on its own.
//!
//! There are two levels. [`Client`] makes single calls and remembers nothing: the grants of [`oauth`], and with
//! [`Client::api`] the calls of [`Api`] with one access token. [`Session`] keeps one user signed in on top of
//! that: it renews tokens before they end, once for any number of callers, and stores them before it uses them.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/stage.rs"));
//! use ringbridge_ringcentral::{AppCredentials, Client, FileStore, Limiter, Session, Sms};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let stage = stage().await;
//! # let (server, seed) = (stage.simulator.url(), &stage.seed);
//! # let (client_id, client_secret) = (seed.client_id.as_str(), seed.client_secret.as_str());
//! # let jwt = seed.users[0].jwt.as_str();
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("tokens.json");
//! // `server` is Server::PRODUCTION.
//! let client = Client::builder(server, AppCredentials::confidential(client_id, client_secret)).build()?;
//! let session = Session::builder(client)
//!     .store(FileStore::new(path))
//!     .limiter(Limiter::new())
//!     .jwt(jwt)
//!     .on_new_tokens(|tokens| println!("good until {}", tokens.expires_at))
//!     .build();
//!
//! let numbers = session.extension_phone_numbers().await?;
//! if let Some(number) = numbers.iter().find(|number| number.can_send_sms()) {
//!     let message = session.send_sms(&Sms::new(number.e164(), "+16505550111", "Hello!")).await?;
//!     println!("message {} is {:?}", message.id, message.status);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! * Every grant has an example in [`oauth`]. Who knows RingCentral's Ruby or JavaScript SDK begins with
//!   [`guide`].
//! * Every failure is an [`Error`] that tells its [`Kind`], RingCentral's codes, when to try again, and whether the
//!   call may have had its effect.
//! * No token or secret is in any error, log line or `Debug` output. Tokens are sent to the configured platform,
//!   its media host and hosts of RingCentral's own domain, over https (or to a loopback host), and nowhere else.
//! * Values that this version does not know are kept; ids are 64-bit numbers, read exactly.
//! * No task, thread or timer is started. It needs a tokio runtime with time and I/O.
//!
//! Time comes from a [`Clock`](clock::Clock), which a test can move; secrets are kept in [`Secret`](secret::Secret).

#![warn(missing_docs)]

mod answer;
mod api;
mod client;
pub mod clock;
pub mod consents;
mod error;
pub mod events;
#[doc = include_str!("guide.md")]
pub mod guide {}
mod id;
mod identity;
mod keeper;
mod lenient;
pub mod limiter;
mod message;
mod messages;
mod numbers;
pub mod oauth;
#[cfg(feature = "oauth2")]
mod oauth2;
mod open_enum;
mod paging;
pub mod secret;
mod server;
mod session;
pub mod sms;
pub mod store;
pub mod subscriptions;
mod sync;
mod tokens;
mod transport;

pub use self::api::Api;
pub use self::client::{AppCredentials, Client, ClientBuilder};
pub use self::error::{Error, ErrorCode, Grant, Kind, Result, Retry, Sent};
pub use self::id::{Id, NotAnId};
pub use self::identity::{
    Account, AccountReference, AccountStatus, Contact, Extension, ExtensionKind, ExtensionReference,
    ExtensionStatus, Named, Permission, Permissions, ServiceInfo, UserInfo,
};
pub use self::limiter::{Limiter, RateLimit};
pub use self::message::{
    Attachment, Availability, Conversation, DeliveryFailure, Direction, Message, MessageKind, MessageStatus,
    Party, ReadStatus,
};
pub use self::messages::{BulkMessage, Content, MessageChange, MessageQuery};
pub use self::numbers::{
    Brand, Campaign, Feature, NumberKind, NumberStatus, PaymentType, PhoneNumber, RegistrationStatus,
    RegistrationTier, SmsConfiguration, UsageType,
};
pub use self::paging::{Page, Paging};
pub use self::server::Server;
pub use self::session::{Session, SessionBuilder};
pub use self::sms::{Mms, Sms};
pub use self::store::{FileStore, MemoryStore, TokenStore};
pub use self::sync::{SyncRequest, Synced};
pub use self::tokens::{AccessToken, ClientSecret, PlainTokenSet, RefreshToken, TokenSet};
