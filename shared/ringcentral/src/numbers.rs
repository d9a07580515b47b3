//! Phone numbers: their extensions, features and 10DLC registration.

use std::fmt;
use std::sync::Arc;

use crate::api::Api;
use crate::error::Result;
use crate::id::Id;
use crate::identity::ExtensionReference;
use crate::lenient::{Fields, FromFields, RecordError, deserialize_record, record};
use crate::open_enum::open_enum;
use crate::paging::Records;
use crate::rate_limit::UsageGroup;

/// The page size of the lists; RingCentral reduces larger values.
const PER_PAGE: &str = "1000";

open_enum!(
    /// A feature of a number, for the extension whose list contains it.
    Feature {
        /// Can be shown as caller id.
        CallerId = "CallerId",
        /// Can send and receive SMS.
        SmsSender = "SmsSender",
        /// Can send high-volume SMS.
        A2PSmsSender = "A2PSmsSender",
        /// Can send and receive MMS.
        MmsSender = "MmsSender",
        /// Can send SMS to other countries.
        InternationalSmsSender = "InternationalSmsSender",
        /// Delegated by another user.
        Delegated = "Delegated",
    }
);

open_enum!(
    /// The usage type of a number.
    UsageType {
        /// The account's main number.
        MainCompanyNumber = "MainCompanyNumber",
        /// Another number of the company.
        AdditionalCompanyNumber = "AdditionalCompanyNumber",
        /// A number of the company.
        CompanyNumber = "CompanyNumber",
        /// The direct number of an extension.
        DirectNumber = "DirectNumber",
        /// A fax number of the company.
        CompanyFaxNumber = "CompanyFaxNumber",
        /// A number that another provider forwards.
        ForwardedNumber = "ForwardedNumber",
        /// A company number that another provider forwards.
        ForwardedCompanyNumber = "ForwardedCompanyNumber",
        /// A number of a contact centre.
        ContactCenterNumber = "ContactCenterNumber",
        /// A conferencing number.
        ConferencingNumber = "ConferencingNumber",
        /// A meetings number.
        MeetingsNumber = "MeetingsNumber",
        /// A number in the number pool.
        NumberPool = "NumberPool",
        /// A mobile number of the business.
        BusinessMobileNumber = "BusinessMobileNumber",
        /// A number in the number storage.
        NumberStorage = "NumberStorage",
        /// A number of an integration.
        IntegrationNumber = "IntegrationNumber",
    }
);

open_enum!(
    /// The payment type of a number.
    PaymentType {
        /// A number of another provider.
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
    /// The status of a number.
    NumberStatus {
        /// In service.
        Normal = "Normal",
        /// Not in service yet.
        Pending = "Pending",
        /// Ported in.
        PortedIn = "PortedIn",
        /// Temporary.
        Temporary = "Temporary",
        /// Unknown to RingCentral.
        Unknown = "Unknown",
    }
);

open_enum!(
    /// The type of a number.
    NumberKind {
        /// Voice and fax.
        VoiceFax = "VoiceFax",
        /// Voice only.
        VoiceOnly = "VoiceOnly",
        /// Fax only.
        FaxOnly = "FaxOnly",
    }
);

/// A phone number in the list of an extension or account (API Reference, "Phone Numbers"). `Debug` omits the number.
#[derive(Clone)]
pub struct PhoneNumber {
    /// The id. The lists can omit it for numbers of other providers.
    pub id: Option<Id>,
    /// The number in E.164 format, with or without the `+`; see [`PhoneNumber::e164`].
    pub phone_number: String,
    /// The features that can be read. Only the list of an extension contains them; in the list of an account they are empty.
    pub features: Vec<Feature>,
    /// True if there are further features, which cannot be read.
    pub has_unreadable_features: bool,
    /// The usage type.
    pub usage_type: Option<UsageType>,
    /// The payment type.
    pub payment_type: Option<PaymentType>,
    /// The status.
    pub status: Option<NumberStatus>,
    /// The type.
    pub kind: Option<NumberKind>,
    /// The extension that the number is assigned to; `None` for company numbers.
    pub extension: Option<ExtensionReference>,
    /// Whether it is the primary number of the extension.
    pub primary: bool,
    /// The label that the customer gave it.
    pub label: Option<String>,
    /// The city and state.
    pub location: Option<String>,
    json: Arc<str>,
}

impl FromFields for PhoneNumber {
    fn from_fields(fields: &Fields<'_>) -> std::result::Result<Self, RecordError> {
        Ok(Self {
            id: fields.lossy("id"),
            phone_number: fields.required("phoneNumber")?,
            features: fields.lossy_list("features"),
            has_unreadable_features: fields.list::<Feature>("features").is_err(),
            usage_type: fields.lossy("usageType"),
            payment_type: fields.lossy("paymentType"),
            status: fields.lossy("status"),
            kind: fields.lossy("type"),
            extension: fields.lossy("extension"),
            primary: fields.lossy("primary").unwrap_or(false),
            label: fields.lossy("label"),
            location: fields.lossy("location"),
            json: fields.json().into(),
        })
    }
}

deserialize_record!(PhoneNumber);

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
    /// The record as it came.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Whether the number has this feature.
    #[must_use]
    pub fn has(&self, feature: &Feature) -> bool {
        self.features.contains(feature)
    }

    /// Whether the extension can send SMS from the number.
    #[must_use]
    pub fn can_send_sms(&self) -> bool {
        self.has(&Feature::SmsSender)
    }

    /// Whether the extension can send MMS from the number.
    #[must_use]
    pub fn can_send_mms(&self) -> bool {
        self.has(&Feature::MmsSender)
    }

    /// The number in E.164 format, with the leading `+`.
    #[must_use]
    pub fn e164(&self) -> String {
        format!("+{}", self.phone_number.trim_start_matches('+'))
    }
}

open_enum!(
    /// The registration status of a 10DLC brand or campaign.
    RegistrationStatus {
        /// Created, not submitted.
        Created = "Created",
        /// Submitted to the registry.
        Submitted = "Submitted",
        /// Confirmed: carriers accept the messages.
        Confirmed = "Confirmed",
        /// The submission failed.
        SubmitFailed = "SubmitFailed",
        /// A change was requested.
        UpdateRequested = "UpdateRequested",
        /// The deletion was requested.
        DeleteRequested = "DeleteRequested",
        /// The campaign is suspended.
        CampaignSuspended = "CampaignSuspended",
        /// The campaign has expired.
        CampaignExpired = "CampaignExpired",
        /// A draft.
        Draft = "Draft",
        /// The check before the submission failed.
        PreVetFailed = "PreVetFailed",
        /// Not confirmed.
        Unconfirmed = "Unconfirmed",
        /// The brand is verified.
        Verified = "Verified",
    }
);

open_enum!(
    /// The volume tier of a campaign.
    RegistrationTier {
        /// At most 6,000 messages a day over all numbers.
        LowVolume = "LowVolume",
        /// The standard tier.
        StandardVolume = "StandardVolume",
    }
);

/// The 10DLC registration of a number, without which US carriers reject its SMS (API Reference, "Get SMS
/// Configuration"). `Debug` omits the number.
#[derive(Clone)]
pub struct SmsConfiguration {
    /// The id of the number.
    pub phone_number_id: Option<Id>,
    /// The number.
    pub phone_number: Option<String>,
    /// The campaign that the number is registered for.
    pub campaign: Option<Campaign>,
    /// The brand of the campaign.
    pub brand: Option<Brand>,
}

record!(SmsConfiguration {
    phone_number_id: lossy "phoneNumberId",
    phone_number: lossy "phoneNumber",
    campaign: lossy "smsCampaignInfo",
    brand: lossy "smsBrandInfo",
});

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
    /// Whether the number's campaign is confirmed. With any other status, messages fail.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.campaign.as_ref().is_some_and(|campaign| campaign.status == Some(RegistrationStatus::Confirmed))
    }
}

/// A 10DLC campaign.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// The id at the registry.
    pub id: Option<String>,
    /// The registration status.
    pub status: Option<RegistrationStatus>,
    /// The volume tier.
    pub registration_tier: Option<RegistrationTier>,
    /// The use cases.
    pub use_cases: Vec<String>,
}

record!(Campaign {
    id: lossy "id",
    status: lossy "status",
    registration_tier: lossy "registrationTier",
    use_cases: lossy_list "useCases",
});

/// A 10DLC brand.
#[derive(Debug, Clone)]
pub struct Brand {
    /// The id at the registry.
    pub id: Option<String>,
    /// The registration status.
    pub status: Option<RegistrationStatus>,
}

record!(Brand {
    id: lossy "id",
    status: lossy "status",
});

impl Api {
    /// Returns all numbers of the extension with their features: its own, and the company numbers that it may use. One
    /// call per 1,000 numbers; app scope `ReadAccounts`; group Light.
    ///
    /// # Errors
    /// See [`ErrorKind`](crate::ErrorKind).
    pub async fn extension_phone_numbers(&self) -> Result<Records<PhoneNumber>> {
        let path = self.extension_path("/phone-number");
        self.all(self.get("extension_phone_numbers", UsageGroup::Light, &path).query("perPage", PER_PAGE))
            .await
    }

    /// Returns all numbers of the account with their extensions. One call per 1,000 numbers; app scope `ReadAccounts`;
    /// group **Heavy**, 10 calls a minute.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`](crate::ErrorKind::Forbidden) if the user lacks the permission
    /// `ReadCompanyPhoneNumbers`.
    pub async fn account_phone_numbers(&self) -> Result<Records<PhoneNumber>> {
        let path = "/restapi/v1.0/account/~/phone-number";
        self.all(self.get("account_phone_numbers", UsageGroup::Heavy, path).query("perPage", PER_PAGE)).await
    }

    /// Returns the 10DLC registration of a number of the extension. App scope `ReadAccounts`; group Light.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the extension has no such number.
    pub async fn sms_configuration(&self, number: Id) -> Result<SmsConfiguration> {
        let path = self.extension_path(&format!("/phone-number/{number}/sms-configuration"));
        self.json(self.get("sms_configuration", UsageGroup::Light, &path)).await
    }
}
