//! A client for RingCentral's authentication and messaging, complete on its own.

mod answer;
mod api;
mod client;
pub mod consents;
mod error;
pub mod events;
mod id;
mod identity;
mod lenient;
pub mod limiter;
mod messages;
mod numbers;
pub mod oauth;
#[cfg(feature = "oauth2")]
mod oauth2;
mod open_enum;
mod paging;
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
pub use self::messages::{
    Attachment, Availability, Content, Conversation, DeliveryFailure, Direction, Message, MessageChange,
    MessageKind, MessageQuery, MessageStatus, Party, ReadStatus,
};
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
