//! A client for RingCentral's authentication and messaging APIs.
//!
//! It has two levels. [`Client`] makes single, stateless calls: the grants of [`oauth`], and, with [`Client::api`], API
//! calls with one access token. [`Session`] is a signed-in user: it refreshes tokens before they expire, once for any
//! number of concurrent callers, and stores new tokens before it uses them.
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
//!     .on_new_tokens(|tokens| println!("valid until {}", tokens.expires_at))
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
//! * [`oauth`] has an example of each grant. [`guide`] maps the calls of RingCentral's Ruby and JavaScript SDKs to this
//!   crate.
//! * Every [`Error`] has an [`ErrorKind`], RingCentral's codes, when to retry, and whether the call may have had its
//!   effect.
//! * No error, log event or `Debug` output contains a token or secret. Tokens are sent to the configured platform, its
//!   media host and hosts of the same RingCentral domain only, over https (or to a loopback host).
//! * Values that this version does not know are kept. Ids are 64-bit numbers and are read exactly.
//! * Responses are read leniently: fields that are not used are not parsed, and ids, numbers, flags and times are read in
//!   every known spelling. A record of a list that still cannot be read is [`Unreadable`], and the others are returned.
//! * The client starts no task, thread or timer, except for the file operations of [`FileStore`]. It needs a tokio
//!   runtime with time and I/O enabled.
//! * Time is read from a [`Clock`](clock::Clock), which a test can replace.
//!
//! # Features
//!
//! * `oauth2`: conversion of [`TokenSet`] from and to the token type of the `oauth2` crate. Off by default.

#![warn(missing_docs)]

/// The code of the README, compiled with the documentation's examples.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExamples;

mod api;
mod attachment;
mod client;
pub mod clock;
pub mod consents;
mod error;
mod error_response;
pub mod events;
mod file_store;
#[doc = include_str!("guide.md")]
pub mod guide {}
mod id;
mod identity;
mod lenient;
mod limiter;
mod message;
mod messages;
mod numbers;
pub mod oauth;
#[cfg(feature = "oauth2")]
mod oauth2;
mod open_enum;
mod paging;
mod rate_limit;
mod request;
mod retry_after;
mod scanner;
pub mod secret;
mod server;
mod session;
pub mod sms;
pub mod subscriptions;
mod sync;
mod time;
mod token_source;
pub mod token_store;
mod tokens;
mod transport;
#[doc(hidden)]
pub mod untrusted;

pub use self::api::Api;
pub use self::attachment::AttachmentContent;
pub use self::client::{AppCredentials, Client, ClientBuilder};
pub use self::error::{Error, ErrorCode, ErrorKind, Grant, Result, Retry, Sent};
pub use self::file_store::FileStore;
pub use self::id::{Id, ParseIdError};
pub use self::identity::{
    Account, AccountReference, AccountStatus, Contact, Extension, ExtensionKind, ExtensionReference,
    ExtensionStatus, NamedReference, Permission, Permissions, ServiceInfo, UserInfo,
};
pub use self::limiter::Limiter;
pub use self::message::{
    Attachment, Availability, Conversation, DeliveryFailure, Direction, Message, MessageKind, MessageStatus,
    Party, ReadStatus,
};
pub use self::messages::{BulkMessage, MessageChange, MessageQuery};
pub use self::numbers::{
    Brand, Campaign, Feature, NumberKind, NumberStatus, PaymentType, PhoneNumber, RegistrationStatus,
    RegistrationTier, SmsConfiguration, UsageType,
};
pub use self::paging::{Page, Paging, Records, Unreadable};
pub use self::rate_limit::RateLimit;
pub use self::retry_after::retry_after;
pub use self::server::Server;
pub use self::session::{Session, SessionBuilder};
pub use self::sms::{Mms, Sms};
pub use self::sync::{SyncRequest, SyncResult};
pub use self::token_store::{MemoryStore, TokenStore};
pub use self::tokens::{AccessToken, ClientSecret, PlainTokenSet, RefreshToken, TokenSet};
