//! Apps, accounts, extensions and phone numbers.

use serde::{Deserialize, Serialize};

/// An application registered with the platform.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AppRecord {
    pub client_id: String,
    /// A public app has none.
    pub client_secret: Option<String>,
    /// Shown on the consent page.
    pub name: String,
    /// Compared character for character.
    pub redirect_uris: Vec<String>,
}

/// A company account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AccountRecord {
    pub id: i64,
    pub name: String,
    /// For example `Confirmed`.
    pub status: String,
    /// For example `1210`.
    pub brand_id: String,
    pub main_number: String,
}

/// An extension: a user or a call queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExtensionRecord {
    pub id: i64,
    pub account_id: i64,
    /// The short number, for example `101`.
    pub number: String,
    /// First name, or the name of a queue.
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    /// `User`, `Department` (a call queue), or another type of the specification.
    pub kind: String,
    /// `Enabled`, `Disabled`, …
    pub status: String,
    pub admin: bool,
    /// User permissions, for example `ReadMessages`.
    pub permissions: Vec<String>,
    pub username: String,
    pub password: String,
    /// A JWT credential that every app may use.
    pub jwt: String,
}

impl ExtensionRecord {
    /// The path of a resource of the extension.
    #[must_use]
    pub fn path(&self, resource: &str) -> String {
        format!("/restapi/v1.0/account/{}/extension/{}/{resource}", self.account_id, self.id)
    }

    /// First and last name.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name).trim().to_owned()
    }

    #[must_use]
    pub fn can_sign_in(&self) -> bool {
        self.kind == "User" && self.status == "Enabled"
    }
}

/// A phone number of an account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NumberRecord {
    pub id: i64,
    pub account_id: i64,
    /// E.164.
    pub phone_number: String,
    /// `DirectNumber`, `MainCompanyNumber`, …
    pub usage_type: String,
    /// `Local`, `TollFree`, …
    pub payment_type: String,
    /// `VoiceFax`, `VoiceOnly`, `FaxOnly`.
    pub kind: String,
    pub location: String,
    pub label: String,
    /// The extension that the number is assigned to.
    pub extension_id: Option<i64>,
    /// The one extension that may send and receive messages with it.
    pub sms_extension_id: Option<i64>,
    /// The features that this extension has on the number.
    pub features: Vec<String>,
    /// Status of the 10DLC campaign; `None` if the number is not linked to one.
    pub campaign: Option<String>,
}

impl NumberRecord {
    /// Company numbers can be shown as caller id by every extension of the account.
    fn is_company_number(&self) -> bool {
        self.usage_type != "DirectNumber"
    }

    #[must_use]
    pub fn is_toll_free(&self) -> bool {
        self.payment_type == "TollFree"
    }

    #[must_use]
    pub fn has_feature(&self, feature: &str) -> bool {
        self.features.iter().any(|f| f == feature)
    }

    /// The extension that is shown as the number's holder.
    #[must_use]
    pub fn holder_id(&self) -> Option<i64> {
        self.extension_id.or(self.sms_extension_id)
    }

    /// The features that an extension has on this number; `None` if the number is not in the extension's list.
    #[must_use]
    pub fn features_for(&self, extension_id: i64) -> Option<Vec<String>> {
        if self.sms_extension_id == Some(extension_id)
            || (self.sms_extension_id.is_none() && self.extension_id == Some(extension_id))
        {
            Some(self.features.clone())
        } else if self.is_company_number() || self.extension_id == Some(extension_id) {
            Some(vec!["CallerId".to_owned()])
        } else {
            None
        }
    }
}
