//! Who the user is: extension, account, OpenID Connect claims.

use std::fmt;

use serde::Deserialize;

use crate::api::{Api, Group};
use crate::error::Result;
use crate::id::Id;
use crate::lenient;
use crate::open_enum::open_enum;

open_enum!(
    /// Whether an extension is in use.
    ExtensionStatus {
        /// In use.
        Enabled = "Enabled",
        /// Switched off.
        Disabled = "Disabled",
        /// Frozen, for billing.
        Frozen = "Frozen",
        /// The user has not set it up.
        NotActivated = "NotActivated",
        /// Nobody's.
        Unassigned = "Unassigned",
    }
);

open_enum!(
    /// What an extension is.
    ExtensionKind {
        /// A person.
        User = "User",
        /// A call queue.
        Department = "Department",
        /// An announcement.
        Announcement = "Announcement",
        /// A voicemail box.
        Voicemail = "Voicemail",
        /// A digital user.
        DigitalUser = "DigitalUser",
        /// A user without a phone.
        VirtualUser = "VirtualUser",
        /// A fax user.
        FaxUser = "FaxUser",
        /// A site.
        Site = "Site",
        /// A menu.
        IvrMenu = "IvrMenu",
        /// An application.
        ApplicationExtension = "ApplicationExtension",
    }
);

open_enum!(
    /// Whether an account is in use.
    AccountStatus {
        /// Being set up.
        Initial = "Initial",
        /// Not confirmed.
        Unconfirmed = "Unconfirmed",
        /// In use.
        Confirmed = "Confirmed",
        /// Switched off.
        Disabled = "Disabled",
    }
);

/// An extension: a user of an account (`GET /restapi/v1.0/account/~/extension/~`). `Debug` shows no name.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extension {
    /// Its id.
    pub id: Id,
    /// Its number inside the account, such as `101`.
    #[serde(default)]
    pub extension_number: Option<String>,
    /// The user's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether it is in use.
    #[serde(default)]
    pub status: Option<ExtensionStatus>,
    /// What it is.
    #[serde(default, rename = "type")]
    pub kind: Option<ExtensionKind>,
    /// Its account.
    #[serde(default)]
    pub account: Option<AccountReference>,
    /// How to reach the user.
    #[serde(default)]
    pub contact: Option<Contact>,
    /// What the user may do.
    #[serde(default)]
    pub permissions: Option<Permissions>,
}

impl fmt::Debug for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extension")
            .field("id", &self.id)
            .field("extension_number", &self.extension_number)
            .field("status", &self.status)
            .field("kind", &self.kind)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

impl Extension {
    /// The id of its account.
    #[must_use]
    pub fn account_id(&self) -> Option<Id> {
        self.account.as_ref().map(|account| account.id)
    }

    /// True if the user administers the account.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.permissions.as_ref().and_then(|all| all.admin.as_ref()).is_some_and(|admin| admin.enabled)
    }
}

/// A mention of an account.
#[derive(Debug, Clone, Deserialize)]
pub struct AccountReference {
    /// Its id.
    pub id: Id,
}

/// How to reach a user. `Debug` shows nothing of it.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Contact {
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Electronic mail.
    pub email: Option<String>,
    /// Company.
    pub company: Option<String>,
    /// Telephone at work.
    pub business_phone: Option<String>,
    /// Mobile telephone.
    pub mobile_phone: Option<String>,
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contact(…)")
    }
}

/// What a user may do.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Permissions {
    /// Administration of the account.
    pub admin: Option<Permission>,
}

/// One permission.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Permission {
    /// Whether the user has it.
    #[serde(deserialize_with = "lenient::or_default")]
    pub enabled: bool,
}

/// An account: a customer of RingCentral (`GET /restapi/v1.0/account/~`). `Debug` does not show its number.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Its id.
    pub id: Id,
    /// Its main number in E.164 form.
    #[serde(default)]
    pub main_number: Option<String>,
    /// Whether it is in use.
    #[serde(default)]
    pub status: Option<AccountStatus>,
    /// The extension that answers for it.
    #[serde(default)]
    pub operator: Option<ExtensionReference>,
    /// Brand and plan.
    #[serde(default)]
    pub service_info: Option<ServiceInfo>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("id", &self.id)
            .field("status", &self.status)
            .field("service_info", &self.service_info)
            .finish_non_exhaustive()
    }
}

/// A mention of an extension. `Debug` shows no name.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionReference {
    /// Its id.
    #[serde(default)]
    pub id: Option<Id>,
    /// Its number inside the account.
    #[serde(default)]
    pub extension_number: Option<String>,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// What it is.
    #[serde(default, rename = "type")]
    pub kind: Option<ExtensionKind>,
}

impl fmt::Debug for ExtensionReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtensionReference")
            .field("id", &self.id)
            .field("extension_number", &self.extension_number)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Brand and plan of an account.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceInfo {
    /// The brand, such as RingCentral or AT&T Office@Hand.
    pub brand: Option<Named>,
    /// The plan.
    pub service_plan: Option<Named>,
}

/// Something with an id and a name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Its id.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub id: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

/// The OpenID Connect claims of the user (`GET /restapi/oauth/userinfo`). `Debug` shows ids only.
#[derive(Clone, Deserialize)]
pub struct UserInfo {
    /// The id of the extension.
    pub sub: Id,
    /// The id of the account.
    #[serde(default)]
    pub account_id: Option<Id>,
    /// Electronic mail.
    #[serde(default)]
    pub email: Option<String>,
    /// Whether the address was confirmed.
    #[serde(default)]
    pub email_verified: Option<bool>,
    /// Given name.
    #[serde(default)]
    pub given_name: Option<String>,
    /// Family name.
    #[serde(default)]
    pub family_name: Option<String>,
}

impl fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserInfo")
            .field("sub", &self.sub)
            .field("account_id", &self.account_id)
            .finish_non_exhaustive()
    }
}

impl Api {
    /// The user's extension. App scope `ReadAccounts`; group Light.
    ///
    /// # Errors
    /// As every call: see [`Error`](super::Error).
    pub async fn extension(&self) -> Result<Extension> {
        self.json(self.get("extension", Group::Light, &self.extension_path(""))).await
    }

    /// The user's account. App scope `ReadAccounts`; group Light.
    ///
    /// # Errors
    /// As every call: see [`Error`](super::Error).
    pub async fn account(&self) -> Result<Account> {
        self.json(self.get("account", Group::Light, "/restapi/v1.0/account/~")).await
    }

    /// Who the user is, without any app scope, but in group Auth: five calls a minute.
    ///
    /// # Errors
    /// As every call: see [`Error`](super::Error).
    pub async fn userinfo(&self) -> Result<UserInfo> {
        self.json(self.get("userinfo", Group::Auth, "/restapi/oauth/userinfo")).await
    }
}
