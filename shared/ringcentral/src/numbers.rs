//! Phone numbers: whose they are, what they can do, and whether carriers will take their messages.

use std::fmt;

use serde::Deserialize;

use crate::api::{Api, Group};
use crate::error::Result;
use crate::id::Id;
use crate::identity::ExtensionReference;
use crate::lenient;
use crate::open_enum::open_enum;

/// How many numbers are asked for in one call; RingCentral cuts larger wishes.
const PER_PAGE: &str = "1000";

open_enum!(
    /// What a number can do for the extension in whose list it stands.
    Feature {
        /// Shown to those who are called.
        CallerId = "CallerId",
        /// Sends and receives SMS.
        SmsSender = "SmsSender",
        /// Sends high-volume SMS.
        A2PSmsSender = "A2PSmsSender",
        /// Sends and receives MMS.
        MmsSender = "MmsSender",
        /// Sends SMS to other countries.
        InternationalSmsSender = "InternationalSmsSender",
        /// Shared by somebody else.
        Delegated = "Delegated",
    }
);

open_enum!(
    /// What a number is used for.
    UsageType {
        /// The account's main number.
        MainCompanyNumber = "MainCompanyNumber",
        /// Another number of the company.
        AdditionalCompanyNumber = "AdditionalCompanyNumber",
        /// A number of the company.
        CompanyNumber = "CompanyNumber",
        /// A person's own number.
        DirectNumber = "DirectNumber",
        /// A fax number of the company.
        CompanyFaxNumber = "CompanyFaxNumber",
        /// A number that is forwarded from elsewhere.
        ForwardedNumber = "ForwardedNumber",
        /// A company number that is forwarded from elsewhere.
        ForwardedCompanyNumber = "ForwardedCompanyNumber",
        /// Of a contact centre.
        ContactCenterNumber = "ContactCenterNumber",
        /// For conferences.
        ConferencingNumber = "ConferencingNumber",
        /// For meetings.
        MeetingsNumber = "MeetingsNumber",
        /// In a pool.
        NumberPool = "NumberPool",
        /// A mobile number of the business.
        BusinessMobileNumber = "BusinessMobileNumber",
        /// In storage.
        NumberStorage = "NumberStorage",
        /// Of an integration.
        IntegrationNumber = "IntegrationNumber",
    }
);

open_enum!(
    /// How a number is paid for, and so what kind it is.
    PaymentType {
        /// Of another provider.
        External = "External",
        /// Toll-free.
        TollFree = "TollFree",
        /// Local.
        Local = "Local",
        /// Mobile.
        Mobile = "Mobile",
    }
);

open_enum!(
    /// Whether a number is in service.
    NumberStatus {
        /// In service.
        Normal = "Normal",
        /// Being set up.
        Pending = "Pending",
        /// Ported in.
        PortedIn = "PortedIn",
        /// Temporary.
        Temporary = "Temporary",
        /// Not known.
        Unknown = "Unknown",
    }
);

open_enum!(
    /// What a number carries.
    NumberKind {
        /// Voice and fax.
        VoiceFax = "VoiceFax",
        /// Voice.
        VoiceOnly = "VoiceOnly",
        /// Fax; no SMS.
        FaxOnly = "FaxOnly",
    }
);

/// A phone number in the list of an extension or an account (API Reference, "Phone Numbers"). `Debug` does not
/// show the number.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhoneNumber {
    /// Its id; the lists may leave it out for numbers of other providers.
    #[serde(default)]
    pub id: Option<Id>,
    /// The number, in E.164 form or the same without `+`.
    pub phone_number: String,
    /// What it can do. Only the extension's list tells; in the account's list it is empty.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub features: Vec<Feature>,
    /// What it is used for.
    #[serde(default)]
    pub usage_type: Option<UsageType>,
    /// How it is paid for.
    #[serde(default)]
    pub payment_type: Option<PaymentType>,
    /// Whether it is in service.
    #[serde(default)]
    pub status: Option<NumberStatus>,
    /// What it carries.
    #[serde(default, rename = "type")]
    pub kind: Option<NumberKind>,
    /// Whose it is; absent for the company's own.
    #[serde(default)]
    pub extension: Option<ExtensionReference>,
    /// True for the extension's first number.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub primary: bool,
    /// A name given to it.
    #[serde(default)]
    pub label: Option<String>,
    /// City and state.
    #[serde(default)]
    pub location: Option<String>,
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PhoneNumber")
            .field("id", &self.id)
            .field("features", &self.features)
            .field("usage_type", &self.usage_type)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl PhoneNumber {
    /// True if the extension can do this with the number.
    #[must_use]
    pub fn has(&self, feature: &Feature) -> bool {
        self.features.contains(feature)
    }

    /// True if the extension may send SMS from it.
    #[must_use]
    pub fn can_send_sms(&self) -> bool {
        self.has(&Feature::SmsSender)
    }

    /// True if the extension may send MMS from it.
    #[must_use]
    pub fn can_send_mms(&self) -> bool {
        self.has(&Feature::MmsSender)
    }

    /// The number with a leading `+`, as live answers and requests have it.
    #[must_use]
    pub fn e164(&self) -> String {
        format!("+{}", self.phone_number.trim_start_matches('+'))
    }
}

open_enum!(
    /// How far the registration of a 10DLC brand or campaign has come.
    RegistrationStatus {
        /// Written down.
        Created = "Created",
        /// On its way.
        Submitted = "Submitted",
        /// Done: carriers take the messages.
        Confirmed = "Confirmed",
        /// Not taken.
        SubmitFailed = "SubmitFailed",
        /// To be changed.
        UpdateRequested = "UpdateRequested",
        /// To be deleted.
        DeleteRequested = "DeleteRequested",
        /// Suspended.
        CampaignSuspended = "CampaignSuspended",
        /// Expired.
        CampaignExpired = "CampaignExpired",
        /// Not submitted.
        Draft = "Draft",
        /// Failed before it was submitted.
        PreVetFailed = "PreVetFailed",
        /// Not confirmed.
        Unconfirmed = "Unconfirmed",
        /// A brand that was checked.
        Verified = "Verified",
    }
);

open_enum!(
    /// How much a campaign may send.
    RegistrationTier {
        /// At most 6,000 messages a day over all numbers.
        LowVolume = "LowVolume",
        /// The ordinary tier.
        StandardVolume = "StandardVolume",
    }
);

/// Whether US carriers take SMS from a number (API Reference, "Get SMS Configuration"). `Debug` does not show the
/// number.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SmsConfiguration {
    /// The id of the number.
    #[serde(default)]
    pub phone_number_id: Option<Id>,
    /// The number.
    #[serde(default)]
    pub phone_number: Option<String>,
    /// The campaign that it is registered for; absent if for none.
    #[serde(default, rename = "smsCampaignInfo")]
    pub campaign: Option<Campaign>,
    /// The brand behind the campaign.
    #[serde(default, rename = "smsBrandInfo")]
    pub brand: Option<Brand>,
}

impl fmt::Debug for SmsConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmsConfiguration")
            .field("phone_number_id", &self.phone_number_id)
            .field("campaign", &self.campaign)
            .field("brand", &self.brand)
            .finish_non_exhaustive()
    }
}

impl SmsConfiguration {
    /// True if the number's campaign is confirmed. With any other status, sends fail.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.campaign.as_ref().is_some_and(|campaign| campaign.status == Some(RegistrationStatus::Confirmed))
    }
}

/// A 10DLC campaign.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Campaign {
    /// Its id at the registry.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub id: Option<String>,
    /// How far its registration is.
    #[serde(default)]
    pub status: Option<RegistrationStatus>,
    /// How much it may send.
    #[serde(default)]
    pub registration_tier: Option<RegistrationTier>,
    /// What it is for.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub use_cases: Vec<String>,
}

/// A 10DLC brand.
#[derive(Debug, Clone, Deserialize)]
pub struct Brand {
    /// Its id at the registry.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub id: Option<String>,
    /// How far its registration is.
    #[serde(default)]
    pub status: Option<RegistrationStatus>,
}

impl Api {
    /// All numbers of the extension, with their features: its own and the company's that it may use. One
    /// call for each 1,000 numbers; app scope `ReadAccounts`; group Light.
    ///
    /// # Errors
    /// As every call: see [`Error`](super::Error).
    pub async fn extension_phone_numbers(&self) -> Result<Vec<PhoneNumber>> {
        let path = self.extension_path("/phone-number");
        self.all(self.get("extension_phone_numbers", Group::Light, &path).query("perPage", PER_PAGE)).await
    }

    /// All numbers of the account, with their extensions. One call for each 1,000 numbers, in group **Heavy**
    /// (10 a minute); app scope `ReadAccounts`.
    ///
    /// # Errors
    /// [`Kind::Forbidden`](super::Kind::Forbidden) if the user lacks the permission `ReadCompanyPhoneNumbers`.
    pub async fn account_phone_numbers(&self) -> Result<Vec<PhoneNumber>> {
        let path = "/restapi/v1.0/account/~/phone-number";
        self.all(self.get("account_phone_numbers", Group::Heavy, path).query("perPage", PER_PAGE)).await
    }

    /// The 10DLC registration of a number of the extension. App scope `ReadAccounts`; group Light.
    ///
    /// # Errors
    /// [`Kind::NotFound`](super::Kind::NotFound) if the number is not the extension's.
    pub async fn sms_configuration(&self, number: Id) -> Result<SmsConfiguration> {
        let path = self.extension_path(&format!("/phone-number/{number}/sms-configuration"));
        self.json(self.get("sms_configuration", Group::Light, &path)).await
    }
}
