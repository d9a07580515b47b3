//! The user's extension, account and OpenID Connect claims.

use std::fmt;

use crate::api::Api;
use crate::error::Result;
use crate::id::Id;
use crate::lenient::record;
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
#[derive(Clone)]
pub struct Extension {
    /// The id.
    pub id: Id,
    /// The number inside the account, such as `101`.
    pub extension_number: Option<String>,
    /// The user's name.
    pub name: Option<String>,
    /// The status.
    pub status: Option<ExtensionStatus>,
    /// The type.
    pub kind: Option<ExtensionKind>,
    /// The account that it belongs to.
    pub account: Option<AccountReference>,
    /// The user's contact data.
    pub contact: Option<Contact>,
    /// The user's permissions.
    pub permissions: Option<Permissions>,
}

record!(Extension {
    id: required "id",
    extension_number: lossy "extensionNumber",
    name: lossy "name",
    status: lossy "status",
    kind: lossy "type",
    account: lossy "account",
    contact: lossy "contact",
    permissions: lossy "permissions",
});

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
#[derive(Debug, Clone)]
pub struct AccountReference {
    /// The id.
    pub id: Id,
}

record!(AccountReference {
    id: required "id",
});

/// The contact data of a user. `Debug` omits all of it.
#[derive(Clone, Default)]
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

record!(Contact {
    first_name: lossy "firstName",
    last_name: lossy "lastName",
    email: lossy "email",
    company: lossy "company",
    business_phone: lossy "businessPhone",
    mobile_phone: lossy "mobilePhone",
});

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Contact(…)")
    }
}

/// The permissions of a user.
#[derive(Debug, Clone, Default)]
pub struct Permissions {
    /// The permission to administer the account.
    pub admin: Option<Permission>,
}

record!(Permissions {
    admin: lossy "admin",
});

/// A permission of a user.
#[derive(Debug, Clone, Default)]
pub struct Permission {
    /// Whether the user has it.
    pub enabled: bool,
}

record!(Permission {
    enabled: flag "enabled",
});

/// An account: a customer of RingCentral (`GET /restapi/v1.0/account/~`). `Debug` omits the number.
#[derive(Clone)]
pub struct Account {
    /// The id.
    pub id: Id,
    /// The main number in E.164 format.
    pub main_number: Option<String>,
    /// The status.
    pub status: Option<AccountStatus>,
    /// The operator extension.
    pub operator: Option<ExtensionReference>,
    /// The brand and service plan.
    pub service_info: Option<ServiceInfo>,
}

record!(Account {
    id: required "id",
    main_number: lossy "mainNumber",
    status: lossy "status",
    operator: lossy "operator",
    service_info: lossy "serviceInfo",
});

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
#[derive(Clone)]
pub struct ExtensionReference {
    /// The id.
    pub id: Option<Id>,
    /// The number inside the account.
    pub extension_number: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// The type.
    pub kind: Option<ExtensionKind>,
}

record!(ExtensionReference {
    id: lossy "id",
    extension_number: lossy "extensionNumber",
    name: lossy "name",
    kind: lossy "type",
});

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
#[derive(Debug, Clone, Default)]
pub struct ServiceInfo {
    /// The brand, such as RingCentral or AT&T Office@Hand.
    pub brand: Option<NamedReference>,
    /// The service plan.
    pub service_plan: Option<NamedReference>,
}

record!(ServiceInfo {
    brand: lossy "brand",
    service_plan: lossy "servicePlan",
});

/// A reference with an id and a name.
#[derive(Debug, Clone, Default)]
pub struct NamedReference {
    /// The id.
    pub id: Option<String>,
    /// The name.
    pub name: Option<String>,
}

record!(NamedReference {
    id: lossy "id",
    name: lossy "name",
});

/// The OpenID Connect claims of the user (`GET /restapi/oauth/userinfo`). `Debug` shows only the ids.
#[derive(Clone)]
pub struct UserInfo {
    /// The id of the extension.
    pub sub: Id,
    /// The id of the account.
    pub account_id: Option<Id>,
    /// The e-mail address.
    pub email: Option<String>,
    /// Whether the e-mail address is verified.
    pub email_verified: Option<bool>,
    /// The given name.
    pub given_name: Option<String>,
    /// The family name.
    pub family_name: Option<String>,
}

record!(UserInfo {
    sub: required "sub",
    account_id: lossy "account_id",
    email: lossy "email",
    email_verified: lossy "email_verified",
    given_name: lossy "given_name",
    family_name: lossy "family_name",
});

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
