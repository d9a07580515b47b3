//! The user's extension, account and OpenID Connect claims.

use std::fmt;

use serde::Deserialize;

use crate::api::Api;
use crate::error::Result;
use crate::id::Id;
use crate::lenient;
use crate::open_enum::open_enum;
use crate::rate_limit::UsageGroup;

open_enum!(
    /// The status of an extension.
    ExtensionStatus {
        /// Active.
        Enabled = "Enabled",
        /// Disabled.
        Disabled = "Disabled",
        /// Frozen for billing reasons.
        Frozen = "Frozen",
        /// Not set up by the user yet.
        NotActivated = "NotActivated",
        /// Not assigned to a user.
        Unassigned = "Unassigned",
    }
);

open_enum!(
    /// The type of an extension.
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
        /// An IVR menu.
        IvrMenu = "IvrMenu",
        /// An application.
        ApplicationExtension = "ApplicationExtension",
    }
);

open_enum!(
    /// The status of an account.
    AccountStatus {
        /// Not completed yet.
        Initial = "Initial",
        /// Not confirmed.
        Unconfirmed = "Unconfirmed",
        /// Active.
        Confirmed = "Confirmed",
        /// Disabled.
        Disabled = "Disabled",
    }
);

/// An extension: a user of an account (`GET /restapi/v1.0/account/~/extension/~`). `Debug` omits names.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extension {
    /// The id.
    pub id: Id,
    /// The number inside the account, such as `101`.
    #[serde(default)]
    pub extension_number: Option<String>,
    /// The user's name.
    #[serde(default)]
    pub name: Option<String>,
    /// The status.
    #[serde(default)]
    pub status: Option<ExtensionStatus>,
    /// The type.
    #[serde(default, rename = "type")]
    pub kind: Option<ExtensionKind>,
    /// The account that it belongs to.
    #[serde(default)]
    pub account: Option<AccountReference>,
    /// The user's contact data.
    #[serde(default)]
    pub contact: Option<Contact>,
    /// The user's permissions.
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
    /// The id of the account that it belongs to.
    #[must_use]
    pub fn account_id(&self) -> Option<Id> {
        self.account.as_ref().map(|account| account.id)
    }

    /// Whether the user is an administrator of the account.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.permissions.as_ref().and_then(|all| all.admin.as_ref()).is_some_and(|admin| admin.enabled)
    }
}

/// A reference to an account.
#[derive(Debug, Clone, Deserialize)]
pub struct AccountReference {
    /// The id.
    pub id: Id,
}

/// The contact data of a user. `Debug` omits all of it.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Contact {
    /// The given name.
    pub first_name: Option<String>,
    /// The family name.
    pub last_name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The company.
    pub company: Option<String>,
    /// The business phone number.
    pub business_phone: Option<String>,
    /// The mobile phone number.
    pub mobile_phone: Option<String>,
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contact(…)")
    }
}

/// The permissions of a user.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Permissions {
    /// The permission to administer the account.
    pub admin: Option<Permission>,
}

/// A permission of a user.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Permission {
    /// Whether the user has it.
    #[serde(deserialize_with = "lenient::or_default")]
    pub enabled: bool,
}

/// An account: a customer of RingCentral (`GET /restapi/v1.0/account/~`). `Debug` omits the number.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The id.
    pub id: Id,
    /// The main number in E.164 format.
    #[serde(default)]
    pub main_number: Option<String>,
    /// The status.
    #[serde(default)]
    pub status: Option<AccountStatus>,
    /// The operator extension.
    #[serde(default)]
    pub operator: Option<ExtensionReference>,
    /// The brand and service plan.
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

/// A reference to an extension. `Debug` omits the name.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionReference {
    /// The id.
    #[serde(default)]
    pub id: Option<Id>,
    /// The number inside the account.
    #[serde(default)]
    pub extension_number: Option<String>,
    /// The name.
    #[serde(default)]
    pub name: Option<String>,
    /// The type.
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

/// The brand and service plan of an account.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceInfo {
    /// The brand, such as RingCentral or AT&T Office@Hand.
    pub brand: Option<NamedReference>,
    /// The service plan.
    pub service_plan: Option<NamedReference>,
}

/// A reference with an id and a name.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NamedReference {
    /// The id.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub id: Option<String>,
    /// The name.
    pub name: Option<String>,
}

/// The OpenID Connect claims of the user (`GET /restapi/oauth/userinfo`). `Debug` shows only the ids.
#[derive(Clone, Deserialize)]
pub struct UserInfo {
    /// The id of the extension.
    pub sub: Id,
    /// The id of the account.
    #[serde(default)]
    pub account_id: Option<Id>,
    /// The e-mail address.
    #[serde(default)]
    pub email: Option<String>,
    /// Whether the e-mail address is verified.
    #[serde(default)]
    pub email_verified: Option<bool>,
    /// The given name.
    #[serde(default)]
    pub given_name: Option<String>,
    /// The family name.
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
    /// Returns the user's extension. App scope `ReadAccounts`; group Light.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn extension(&self) -> Result<Extension> {
        self.json(self.get("extension", UsageGroup::Light, &self.extension_path(""))).await
    }

    /// Returns the user's account. App scope `ReadAccounts`; group Light.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn account(&self) -> Result<Account> {
        self.json(self.get("account", UsageGroup::Light, "/restapi/v1.0/account/~")).await
    }

    /// Returns the OpenID Connect claims of the user. It needs no app scope; group Auth, five calls a minute.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn userinfo(&self) -> Result<UserInfo> {
        self.json(self.get("userinfo", UsageGroup::Auth, "/restapi/oauth/userinfo")).await
    }
}
